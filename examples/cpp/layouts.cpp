/// Arrays as other programs keep them: channels last, half precision, a part of a larger one. The map is the
/// same.
#include <camfast/camfast.h>

#include <cstdio>
#include <cstring>
#include <vector>

namespace {

constexpr std::int64_t kChannels = 3, kCells = 8;

/// The upper half of a float, which is exact for the small whole numbers below.
std::uint16_t bfloat16(float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return static_cast<std::uint16_t>(bits >> 16);
}

float value(std::int64_t channel, std::int64_t cell) {
    return static_cast<float>((channel + 1) * (cell % 4 - 1));
}

bool print(const char* name, const camfast::View& activations, const camfast::View& gradients) {
    std::vector<float> grid(kCells);
    const camfast::Status status =
        camfast::product_sum(camfast::Rectify::none, activations, gradients, /*relu=*/true,
                             camfast::contiguous(grid.data(), 1, 1, kCells), /*threads=*/1);
    if (!status.ok()) {
        std::fprintf(stderr, "%s: %s %s\n", name, status.argument, status.message);
        return false;
    }
    std::printf("%s:", name);
    for (const float cell : grid) std::printf(" %g", static_cast<double>(cell));
    std::printf("\n");
    return true;
}

}  // namespace

int main() {
    std::vector<float> rows(kChannels * kCells), pixels(kChannels * kCells), larger(2 * kChannels * kCells);
    std::vector<std::uint16_t> halves(kChannels * kCells);
    for (std::int64_t channel = 0; channel < kChannels; ++channel)
        for (std::int64_t cell = 0; cell < kCells; ++cell) {
            const auto row = static_cast<std::size_t>(channel * kCells + cell);
            const float number = value(channel, cell);
            rows[row] = number;
            halves[row] = bfloat16(number);
            pixels[static_cast<std::size_t>(cell * kChannels + channel)] = number;
            larger[static_cast<std::size_t>(channel * 2 * kCells + cell)] = number;
        }

    // --8<-- [start:views]
    // (N, C, P) row by row
    const camfast::View plain = camfast::contiguous(rows.data(), 1, kChannels, kCells);

    // channels last: an element further along C is 1 element away, one further along P is C elements away
    const camfast::View channels_last{pixels.data(),
                                      camfast::DType::float32,
                                      3,
                                      {1, kChannels, kCells},
                                      {kCells * kChannels, 1, kChannels}};

    // the first half of rows that are twice as long
    const camfast::View part{larger.data(),
                             camfast::DType::float32,
                             3,
                             {1, kChannels, kCells},
                             {2 * kCells * kChannels, 2 * kCells, 1}};

    // bfloat16, which C++17 has no type for
    const camfast::View half =
        camfast::contiguous(camfast::DType::bfloat16, halves.data(), 1, kChannels, kCells);
    // --8<-- [end:views]

    const std::vector<float> ones(kChannels * kCells, 1.0f);
    const std::vector<std::uint16_t> half_ones(kChannels * kCells, bfloat16(1.0f));
    const camfast::View gradients = camfast::contiguous(ones.data(), 1, 1, kChannels, kCells);
    const camfast::View half_gradients =
        camfast::contiguous(camfast::DType::bfloat16, half_ones.data(), 1, 1, kChannels, kCells);
    const bool done = print("plain", plain, gradients) && print("channels last", channels_last, gradients) &&
                      print("part", part, gradients) && print("bfloat16", half, half_gradients);
    return done ? 0 : 1;
}
