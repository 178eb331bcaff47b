#include "camfast/resample.h"

#include <algorithm>
#include <atomic>

#include "cpu/buffer.h"
#include "cpu/isa.h"
#include "cpu/parallel.h"
#include "cpu/passes.h"

namespace camfast::cpu {
namespace {

/// Rows of the result that a task makes: their lines of the picture overlap those of the next task's.
constexpr std::int64_t kTaskRows = 16;
constexpr std::int64_t kMostChannels = 4;

/// Makes row i of all channels: lines of the picture become one, and that one is resampled.
void make_row(const View& image, const ResampleBand& y, const ResampleBand& x, std::int64_t i,
              const void** lines, float* line, float* out) noexcept {
    const ResampleKernels& kernels = chosen().table.resample[static_cast<int>(image.dtype)];
    const std::int64_t channels = image.rank == 3 ? image.sizes[2] : 1, width = image.sizes[1] * channels;
    const auto* const first = static_cast<const char*>(image.data) +
                              y.first[i] * width * static_cast<std::int64_t>(element_size(image.dtype));
    for (std::int64_t k = 0; k < y.taps; ++k)
        lines[k] = first + k * width * static_cast<std::int64_t>(element_size(image.dtype));
    kernels.combine(lines, y.weights + i * y.taps, y.taps, width, line);
    for (std::int64_t c = 0; c < channels; ++c)
        kernels.gather(line + c, channels, x.first, x.weights, x.taps, x.pixels,
                       out + (c * y.pixels + i) * x.pixels);
}

Status check_band(const char* name, const ResampleBand& band, std::int64_t size,
                  std::int64_t pixels) noexcept {
    if (!band.first || !band.weights) return invalid(name, "has a null pointer");
    if (band.pixels < 1 || band.pixels != pixels) return invalid(name, "has other pixels than out");
    if (band.taps < 1 || band.taps > size) return invalid(name, "has more taps than the image has pixels");
    for (std::int64_t i = 0; i < band.pixels; ++i)
        if (band.first[i] < 0 || band.first[i] > size - band.taps)
            return invalid(name, "reaches outside of the image");
    return {};
}

Status check(const View& image, const ResampleBand& y, const ResampleBand& x, const View& out) noexcept {
    if (const Status status = check_shape("image", image, image.rank == 3 ? 3 : 2); !status.ok())
        return status;
    if (!is_float(image.dtype) && image.dtype != DType::uint8 && image.dtype != DType::uint16)
        return invalid("image", "is neither uint8 nor uint16 nor a float");
    const std::int64_t channels = image.rank == 3 ? image.sizes[2] : 1;
    if (image.sizes[0] < 1 || image.sizes[1] < 1 || channels < 1 || channels > kMostChannels)
        return invalid("image", "needs a pixel along each axis, and 1 ... 4 channels");
    if (const Status status = check_shape("out", out, 3); !status.ok()) return status;
    if (out.dtype != DType::float32) return invalid("out", "is not float32");
    if (out.sizes[0] != channels) return invalid("out", "has other channels than image");
    if (const Status status = check_contiguous("image", image); !status.ok()) return status;
    if (const Status status = check_contiguous("out", out); !status.ok()) return status;
    if (const Status status = check_band("y", y, image.sizes[0], out.sizes[1]); !status.ok()) return status;
    return check_band("x", x, image.sizes[1], out.sizes[2]);
}

}  // namespace
}  // namespace camfast::cpu

namespace camfast {

Status resample(const View& image, const ResampleBand& y, const ResampleBand& x, const MutableView& out,
                int threads) noexcept {
    using namespace cpu;
    if (const Status status = chosen().status; !status.ok()) return status;
    if (const Status status = check(image, y, x, out); !status.ok()) return status;
    const std::int64_t width = image.sizes[1] * (image.rank == 3 ? image.sizes[2] : 1);
    const std::int64_t tasks = ceil_div(y.pixels, kTaskRows);
    std::atomic<bool> failed{false};
    parallel_for(tasks, useful_threads(image.sizes[0] * width, threads), [&](std::int64_t task) {
        const Buffer lines(static_cast<std::size_t>(y.taps) * sizeof(void*));
        const Buffer line(static_cast<std::size_t>(ceil_div(width, kSumsStep) * kSumsStep) * sizeof(float));
        if (!lines || !line) {
            failed = true;
            return;
        }
        const std::int64_t end = std::min((task + 1) * kTaskRows, y.pixels);
        for (std::int64_t i = task * kTaskRows; i < end; ++i)
            make_row(image, y, x, i, lines.as<const void*>(), line.as<float>(),
                     static_cast<float*>(out.data));
    });
    return failed ? out_of_memory() : Status{};
}

}  // namespace camfast
