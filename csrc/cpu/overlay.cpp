#include "camfast/overlay.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>

#include "cpu/buffer.h"
#include "cpu/isa.h"
#include "cpu/lines.h"
#include "cpu/parallel.h"
#include "cpu/passes.h"
#include "cpu/separable.h"

namespace camfast::cpu {
namespace {

/// Rows of the picture that a task makes: enough to be worth expanding the rows of the heat that they share.
constexpr std::int64_t kBlockRows = 64;

/// Tones from 0 for black to the brightest for white.
Tones make_tones(const Shading& shading, double brightest) noexcept {
    const double scale = brightest / (shading.white - shading.black);
    return {static_cast<float>(shading.black), static_cast<float>(scale), static_cast<float>(brightest),
            shading.black, scale};
}

Paint make_paint(const Shading& shading) noexcept {
    Paint paint;
    for (int i = 0; i < 256; ++i) {
        const std::uint8_t* const rgb = shading.table + 3 * i;
        paint.colors[i] = static_cast<std::uint32_t>(rgb[0] | rgb[1] << 8 | rgb[2] << 16);
    }
    paint.alpha = static_cast<float>(shading.alpha);
    paint.first_shade = static_cast<float>(255 * shading.threshold);
    paint.under = make_tones(shading, 255 * (1 - shading.alpha));
    paint.bare = make_tones(shading, 255);
    return paint;
}

PaintRow paint_row_of(const View& image, const Shading& shading) noexcept {
    const PaintKernels& kernels = chosen().table.paint[static_cast<int>(image.dtype)];
    return (image.rank == 4 ? kernels.rgb : kernels.gray)[shading.threshold > 0];
}

/// The heat of a sample in shades (255 is the last colour), x expanded where a block of rows needs it, then
/// for each row of the picture y, and the colours.
class Picture {
public:
    Picture(const View& image, const View& heat, const Shading& shading, const MutableView& out,
            const Axis& y, const Axis& x) noexcept
        : image_(static_cast<const char*>(image.data)),
          heat_(static_cast<const char*>(heat.data)),
          out_(static_cast<char*>(out.data)),
          out_stride_(out.strides[0]),
          y_(y),
          x_(x),
          pixel_bytes_(element_size(image.dtype) * (image.rank == 4 ? 3 : 1)),
          cell_bytes_(element_size(heat.dtype)),
          tiles_(chosen().table.kernels[static_cast<int>(DType::float32)]),
          shade_line_(chosen().table.kernels[static_cast<int>(heat.dtype)].shade_line),
          paint_row_(paint_row_of(image, shading)),
          low_(shading.low),
          scale_(shading.low == shading.high ? 0 : 255 / (shading.high - shading.low)),
          paint_(make_paint(shading)) {}

    Status run(std::int64_t samples, int threads) const noexcept {
        const std::int64_t block = std::max<std::int64_t>(1, kBlockRows * units() / y_.out);
        const std::int64_t blocks = ceil_div(units(), block);
        std::atomic<bool> failed{false};
        parallel_for(samples * blocks, useful_threads(samples * y_.out * x_.out, threads),
                     [&](std::int64_t item) {
                         const std::int64_t unit = item % blocks * block;
                         if (!run_block(item / blocks, {unit, std::min(unit + block, units())}))
                             failed = true;
                     });
        return failed ? out_of_memory() : Status{};
    }

private:
    std::int64_t units() const noexcept { return y_.identity ? y_.out : y_.groups(); }
    std::int64_t row(std::int64_t unit) const noexcept { return y_.identity ? unit : y_.row(unit); }

    /// Rows of the heat that rows of the picture are made of.
    Range cells_of(Range block) const noexcept {
        if (y_.identity) return block;
        const auto first = y_.group_cells.begin() + block.begin * y_.window;
        const auto [low, high] = std::minmax_element(first, first + block.size() * y_.window);
        return {*low, *high + 1};
    }

    bool run_block(std::int64_t sample, Range block) const noexcept {
        const Range cells = cells_of(block);
        const std::int64_t width = x_.out, line = width * std::int64_t{sizeof(float)};
        const Buffer space(static_cast<std::size_t>((cells.size() + kGroupRows) * line) +
                           static_cast<std::size_t>(cells.size() * x_.in) * sizeof(float) +
                           static_cast<std::size_t>(y_.window) * sizeof(void*));
        if (!space) return false;
        auto** const lines = space.as<const void*>();
        auto* const expanded = reinterpret_cast<float*>(lines + y_.window);
        float* const shades = expanded + cells.size() * width;
        float* const rows = shades + cells.size() * x_.in;
        shade_line_(heat_ + (sample * y_.in + cells.begin) * x_.in * cell_bytes_, low_, scale_,
                    cells.size() * x_.in, x_.identity ? expanded : shades);
        if (!x_.identity)
            expand_lines(tiles_, x_, DType::float32, shades, cells.size(), {0, width}, expanded);
        const char* const first = reinterpret_cast<const char*>(expanded);
        for (std::int64_t unit = block.begin; unit < block.end; ++unit) {
            const std::int64_t begin = row(unit), end = row(unit + 1);
            const float* shade = expanded + (unit - block.begin) * width;
            if (!y_.identity) {
                combine_group(tiles_, y_, DType::float32, unit, first, cells.begin, line, lines, width,
                              {rows, width, false});
                shade = rows;
            }
            paint_row_(shade, image_ + (sample * y_.out + begin) * width * pixel_bytes_, paint_,
                       (end - begin) * width,
                       reinterpret_cast<std::uint8_t*>(out_ + sample * out_stride_ + 3 * begin * width));
        }
        return true;
    }

    const char* image_;
    const char* heat_;
    char* out_;
    std::int64_t out_stride_;
    const Axis &y_, &x_;
    std::int64_t pixel_bytes_, cell_bytes_;
    const TileKernels& tiles_;
    decltype(TileKernels::shade_line) shade_line_;
    PaintRow paint_row_;
    double low_, scale_;
    Paint paint_;
};

Status check(const View& image, const View& heat, const Shading& shading, const View& out) noexcept {
    if (const Status status = check_shape("image", image, image.rank == 4 ? 4 : 3); !status.ok())
        return status;
    if (!is_float(image.dtype) && image.dtype != DType::uint8 && image.dtype != DType::uint16)
        return invalid("image", "is neither uint8 nor uint16 nor a float");
    if (image.rank == 4 && image.sizes[3] != 3)
        return invalid("image", "has a last axis that isn't red, green, blue");
    if (const Status status = check_input("heat", heat, 3); !status.ok()) return status;
    if (const Status status = check_shape("out", out, 4); !status.ok()) return status;
    if (out.dtype != DType::uint8) return invalid("out", "is not uint8");
    for (int i = 0; i < 3; ++i) {
        if (i > 0 && (image.sizes[i] < 1 || image.sizes[i] > INT32_MAX))
            return invalid("image", "needs 1 ... 2^31 - 1 pixels along each axis");
        if (i > 0 && (heat.sizes[i] < 1 || heat.sizes[i] > INT32_MAX))
            return invalid("heat", "needs 1 ... 2^31 - 1 cells along each axis");
        if (out.sizes[i] != image.sizes[i]) return invalid("out", "has other sizes than image");
    }
    if (const Status status = check_contiguous("image", image); !status.ok()) return status;
    if (const Status status = check_contiguous("heat", heat); !status.ok()) return status;
    if (const Status status = check_contiguous("out", out, 1); !status.ok()) return status;
    if (out.sizes[3] != 3) return invalid("out", "has a last axis that isn't red, green, blue");
    if (heat.sizes[0] != image.sizes[0]) return invalid("heat", "has another number of samples than image");
    if (!shading.table) return invalid("table", "is a null pointer");
    if (!(shading.alpha >= 0 && shading.alpha <= 1)) return invalid("alpha", "is not between 0 and 1");
    if (!(shading.threshold >= 0 && shading.threshold <= 1))
        return invalid("threshold", "is not between 0 and 1");
    if (!std::isfinite(shading.black) || !std::isfinite(shading.white) || shading.black == shading.white)
        return invalid("black", "and white are not two different finite levels");
    for (const double sigma : shading.sigma)
        if (!(sigma == 0 || in_range(sigma)))
            return invalid("sigma", "is neither 0 nor within 1e-50 ... 1e50");
    if ((shading.sigma[0] > 0) != (shading.sigma[1] > 0))
        return invalid("sigma", "is 0 for one axis and not for the other");
    return {};
}

std::shared_ptr<const Axis> axis_of(std::int64_t cells, std::int64_t pixels, double sigma) {
    if (!(sigma > 0)) return linear_axis(cells, pixels);
    const double step = static_cast<double>(pixels) / static_cast<double>(cells);
    return gaussian_axis(cells, pixels, {sigma, step / 2 - 0.5, step}, Gain::average);
}

}  // namespace
}  // namespace camfast::cpu

namespace camfast {

Status overlay(const View& image, const View& heat, const Shading& shading, const MutableView& out,
               int threads) noexcept {
    using namespace cpu;
    if (const Status status = chosen().status; !status.ok()) return status;
    if (const Status status = check(image, heat, shading, out); !status.ok()) return status;
    if (image.sizes[0] == 0) return {};
    try {
        const auto y = axis_of(heat.sizes[1], image.sizes[1], shading.sigma[0]);
        const auto x = axis_of(heat.sizes[2], image.sizes[2], shading.sigma[1]);
        return Picture(image, heat, shading, out, *y, *x).run(image.sizes[0], threads);
    } catch (const std::bad_alloc&) {
        return out_of_memory();
    }
}

}  // namespace camfast
