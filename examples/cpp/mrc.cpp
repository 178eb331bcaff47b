#include "mrc.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace {

constexpr std::size_t kHeaderBytes = 1024;
constexpr std::int32_t kFloat32 = 2, kVolume = 1, kVolumeStack = 401;
constexpr std::int64_t kMostBytes = std::int64_t{1} << 40;

// Places of the header's numbers, in words of 4 bytes (MRC2014).
enum Word {
    kNx = 0,
    kNy = 1,
    kNz = 2,
    kMode = 3,
    kMx = 7,
    kMz = 9,
    kCellX = 10,
    kAngle = 13,
    kMapC = 16,
    kMin = 19,
    kMax = 20,
    kMean = 21,
    kSpaceGroup = 22,
    kExtended = 23,
    kVersion = 27,
    kMap = 52,
    kStamp = 53,
    kRms = 54
};

class Header {
public:
    char* data() { return bytes_; }
    template <class Number>
    Number get(int word) const {
        Number number;
        std::memcpy(&number, bytes_ + 4 * word, 4);
        return number;
    }
    template <class Number>
    void set(int word, Number number) {
        static_assert(sizeof number == 4);
        std::memcpy(bytes_ + 4 * word, &number, 4);
    }

private:
    char bytes_[kHeaderBytes] = {};
};

[[noreturn]] void fail(const std::string& path, const std::string& what) {
    throw std::runtime_error(path + ": " + what);
}

}  // namespace

Stack read_mrc(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail(path, "no such file, or it can't be read");
    Header header;
    if (!file.read(header.data(), kHeaderBytes))
        fail(path, "is shorter than the header of an MRC file, 1024 bytes");
    if (std::memcmp(header.data() + 4 * kMap, "MAP ", 4) != 0)
        fail(path, "is no MRC file: the stamp MAP is missing");
    if (header.data()[4 * kStamp] != 0x44)
        fail(path, "is not little-endian: write it again with its bytes swapped");
    const auto mode = header.get<std::int32_t>(kMode);
    if (mode != kFloat32)
        fail(path, "has mode " + std::to_string(mode) + ", and mode 2 (float32) is read here");
    for (int axis = 0; axis < 3; ++axis)
        if (header.get<std::int32_t>(kMapC + axis) != axis + 1)
            fail(path, "has other axes than x, y, z (MAPC, MAPR, MAPS): write it again in that order");

    Stack stack;
    const std::int64_t sections = header.get<std::int32_t>(kNz);
    stack.width = header.get<std::int32_t>(kNx);
    stack.height = header.get<std::int32_t>(kNy);
    const auto space_group = header.get<std::int32_t>(kSpaceGroup);
    stack.depth = space_group >= kVolumeStack ? header.get<std::int32_t>(kMz) : sections;
    const std::int64_t extended = header.get<std::int32_t>(kExtended);
    if (stack.width < 1 || stack.height < 1 || stack.depth < 1 || sections < 1 || extended < 0)
        fail(path, "has sizes in its header that make no sense");
    if (sections % stack.depth != 0)
        fail(path, "has " + std::to_string(sections) + " sections, which are no whole volumes of " +
                       std::to_string(stack.depth));
    stack.count = sections / stack.depth;
    stack.voxel_angstrom =
        header.get<float>(kCellX) / static_cast<float>(std::max(header.get<std::int32_t>(kMx), 1));

    if (kMostBytes / 4 / stack.width / stack.height < sections)
        fail(path, "is larger than this example reads");
    const std::int64_t bytes = 4 * stack.width * stack.height * sections;
    file.seekg(0, std::ios::end);
    const std::int64_t found =
        static_cast<std::int64_t>(file.tellg()) - static_cast<std::int64_t>(kHeaderBytes) - extended;
    if (found < bytes)
        fail(path, "is cut off: its header announces " + std::to_string(bytes) + " bytes of values, and " +
                       std::to_string(std::max<std::int64_t>(found, 0)) + " follow it");
    stack.values.resize(static_cast<std::size_t>(bytes / 4));
    file.seekg(static_cast<std::streamoff>(kHeaderBytes) + extended);
    if (!file.read(reinterpret_cast<char*>(stack.values.data()), bytes))
        fail(path, "can't be read to its end");
    return stack;
}

void write_mrc(const std::string& path, const Stack& volume) {
    double sum = 0, squares = 0;
    for (const float value : volume.values) {
        sum += value;
        squares += static_cast<double>(value) * value;
    }
    const auto count = static_cast<double>(volume.values.size());
    const auto [least, most] = std::minmax_element(volume.values.begin(), volume.values.end());

    Header header;
    const std::int64_t sizes[] = {volume.width, volume.height, volume.depth};
    for (int axis = 0; axis < 3; ++axis) {
        const auto size = static_cast<std::int32_t>(sizes[axis]);
        header.set(kNx + axis, size);
        header.set(kMx + axis, size);
        header.set(kCellX + axis, static_cast<float>(size) * volume.voxel_angstrom);
        header.set(kAngle + axis, 90.0f);
        header.set(kMapC + axis, axis + 1);
    }
    header.set(kMode, kFloat32);
    header.set(kMin, *least);
    header.set(kMax, *most);
    header.set(kMean, static_cast<float>(sum / count));
    header.set(kRms,
               static_cast<float>(std::sqrt(std::max(squares / count - sum / count * (sum / count), 0.0))));
    header.set(kSpaceGroup, kVolume);
    header.set(kVersion, 20141);
    std::memcpy(header.data() + 4 * kMap, "MAP ", 4);
    std::memcpy(header.data() + 4 * kStamp, "\x44\x44\0\0", 4);

    std::ofstream file(path, std::ios::binary);
    file.write(header.data(), kHeaderBytes);
    file.write(reinterpret_cast<const char*>(volume.values.data()),
               static_cast<std::streamsize>(4 * volume.values.size()));
    file.flush();
    if (!file) fail(path, "can't be written");
}
