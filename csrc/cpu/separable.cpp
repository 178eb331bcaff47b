#include "cpu/separable.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>

#include "cpu/buffer.h"
#include "cpu/isa.h"
#include "cpu/lines.h"
#include "cpu/parallel.h"
#include "cpu/passes.h"

namespace camfast::cpu {
namespace {

/// Pixels that one task expands at a time.
constexpr std::int64_t kLinePixels = 4096;
/// Bytes of the rows that one task combines over z, of all planes: they should stay in the first-level cache.
constexpr std::int64_t kBlockBytes = std::int64_t{1} << 15;
/// Pixels of the rows that one task combines where z stays as it is.
constexpr std::int64_t kBlockPixelsOfPlanes = 8192;
/// Bytes of x-expanded maps that are held at a time.
constexpr std::int64_t kExpandedBytes = std::int64_t{1} << 21;
/// Results of more bytes are written past the caches, which they would leave before anybody reads them.
constexpr std::int64_t kStreamBytes = std::int64_t{1} << 25;

/// x first, where there is least to do, line by line; then for a block of output rows y into lines of every
/// plane, and z last, which writes the result once.
class Separable {
public:
    Separable(const Axes& axes, DType dtype, std::int64_t maps, std::int64_t targets, Maps<const char*> grid,
              Maps<char*> out) noexcept
        : z_(*axes.axis[0]),
          y_(*axes.axis[1]),
          x_(*axes.axis[2]),
          result_(accumulator(dtype)),
          tiles_(chosen().table.kernels[static_cast<int>(dtype)]),
          maps_(maps),
          targets_(targets),
          grid_(grid),
          out_(out),
          in_bytes_(element_size(dtype)),
          bytes_(element_size(result_)),
          stream_(maps * axes.out() * bytes_ > kStreamBytes) {
        const std::int64_t row =
            z_.identity ? kBlockPixelsOfPlanes / x_.out : kBlockBytes / (z_.in * x_.out * bytes_);
        const std::int64_t wanted = std::max<std::int64_t>(1, row);
        block_units_ = y_.identity ? wanted : std::max<std::int64_t>(1, wanted * y_.groups() / y_.out);
        blocks_ = ceil_div(units(), block_units_);
    }

    Status run(int threads) noexcept {
        const std::int64_t one = expanded_bytes();
        const std::int64_t group =
            in_place() || last() ? maps_ : std::max<std::int64_t>(1, kExpandedBytes / one);
        const bool whole_maps = threads > 1 && one <= kExpandedBytes / 4 && maps_ >= 4 * threads;
        std::atomic<bool> failed{false};
        if (whole_maps) {
            parallel_for(maps_, threads, [&](std::int64_t map) { run_group({map, map + 1}, 1, failed); });
        } else {
            for (std::int64_t map = 0; map < maps_; map += group)
                run_group({map, std::min(map + group, maps_)}, threads, failed);
        }
        return failed ? out_of_memory() : Status{};
    }

private:
    std::int64_t expanded_bytes() const noexcept { return z_.in * y_.in * x_.out * bytes_; }
    /// Whether x is the last axis with something to do: it writes the result.
    bool last() const noexcept { return y_.identity && z_.identity; }
    bool in_place() const noexcept { return x_.identity && in_bytes_ == bytes_ && !last(); }

    /// Rows of the result, in the units that a block is made of.
    std::int64_t units() const noexcept { return y_.identity ? y_.out : y_.groups(); }
    std::int64_t row(std::int64_t unit) const noexcept { return y_.identity ? unit : y_.row(unit); }

    const char* grid_line(std::int64_t map, std::int64_t line) const noexcept {
        return grid_.data + (grid_.offset(map, targets_) + line * x_.in) * in_bytes_;
    }
    char* result(std::int64_t map) const noexcept { return out_.data + out_.offset(map, targets_) * bytes_; }

    void run_group(Range maps, int threads, std::atomic<bool>& failed) const noexcept {
        const std::int64_t lines = z_.in * y_.in;
        const std::int64_t held = in_place() || last() ? 0 : maps.size() * expanded_bytes();
        const Buffer expanded(static_cast<std::size_t>(held));
        if (!expanded) {
            failed = true;
            return;
        }
        const auto expanded_map = [&](std::int64_t map) {
            return last() ? result(map) : expanded.as<char>() + (map - maps.begin) * lines * x_.out * bytes_;
        };
        if (!in_place()) {
            const std::int64_t pieces = ceil_div(x_.out, kLinePixels);
            const std::int64_t chunk = std::max<std::int64_t>(1, kLinePixels / x_.out / 8 * 8);
            const std::int64_t chunks = ceil_div(lines, chunk);
            parallel_for(maps.size() * chunks * pieces, threads, [&](std::int64_t item) {
                const std::int64_t piece = item % pieces, first = item / pieces % chunks * chunk;
                const std::int64_t map = maps.begin + item / pieces / chunks;
                const Range part{piece * kLinePixels, std::min((piece + 1) * kLinePixels, x_.out)};
                if (!expand(grid_line(map, first), std::min(chunk, lines - first), part,
                            expanded_map(map) + first * x_.out * bytes_))
                    failed = true;
            });
        }
        if (last()) return;
        const std::int64_t items = maps.size() * blocks_;
        const std::int64_t spans = threads == 1 ? 1 : std::min<std::int64_t>(items, 8 * threads);
        parallel_for(spans, threads, [&](std::int64_t span) {
            const std::int64_t window = std::max(y_.window, z_.window);
            const std::int64_t rows = y_.identity ? 0 : block_units_ * kGroupRows;
            const Buffer space(static_cast<std::size_t>(window) * sizeof(void*) +
                               static_cast<std::size_t>(z_.identity ? 0 : z_.in * rows * x_.out * bytes_) +
                               64);
            if (!space) {
                failed = true;
                return;
            }
            for (std::int64_t item = items * span / spans; item < items * (span + 1) / spans; ++item) {
                const std::int64_t map = maps.begin + item / blocks_, unit = item % blocks_ * block_units_;
                combine(in_place() ? grid_line(map, 0) : expanded_map(map),
                        {unit, std::min(unit + block_units_, units())}, space, window, result(map));
            }
        });
    }

    /// Part of some lines of the grid, expanded along x to the same lines of `target`.
    bool expand(const char* lines, std::int64_t count, Range part, char* target) const noexcept {
        if (x_.identity) {
            for (std::int64_t i = 0; i < count; ++i)
                tiles_.convert(lines + (i * x_.in + part.begin) * in_bytes_, part.size(),
                               target + (i * x_.out + part.begin) * bytes_);
            return true;
        }
        if (in_bytes_ == bytes_) {
            expand_lines(tiles_, x_, result_, lines, count, part, target);
            return true;
        }
        const Buffer converted(static_cast<std::size_t>(count * x_.in * bytes_));
        if (!converted) return false;
        tiles_.convert(lines, count * x_.in, converted.as<char>());
        expand_lines(tiles_, x_, result_, converted.as<char>(), count, part, target);
        return true;
    }

    /// Rows of the result in every plane, from expanded lines (z, y).
    void combine(const char* source, Range group, const Buffer& space, std::int64_t window,
                 char* target) const noexcept {
        auto** const lines = space.as<const void*>();
        char* const block = space.as<char>() + ceil_div(window, 8) * 64;
        const std::int64_t line = x_.out * bytes_, plane = y_.in * line;
        const std::int64_t first = row(group.begin), width = (row(group.end) - first) * x_.out;
        if (!y_.identity)
            for (std::int64_t z = 0; z < z_.in; ++z)
                for (std::int64_t unit = group.begin; unit < group.end; ++unit) {
                    char* const out = z_.identity ? target + (z * y_.out + row(unit)) * line
                                                  : block + z * width * bytes_ + (row(unit) - first) * line;
                    combine_group(tiles_, y_, result_, unit, source + z * plane, 0, line, lines, x_.out,
                                  {out, x_.out, stream_ && z_.identity});
                }
        if (z_.identity) return;
        const char* const planes = y_.identity ? source + first * line : block;
        const std::int64_t pitch = y_.identity ? plane : width * bytes_;
        for (std::int64_t unit = 0; unit < z_.groups(); ++unit)
            combine_group(tiles_, z_, result_, unit, planes, 0, pitch, lines, width,
                          {target + (z_.row(unit) * y_.out + first) * line, y_.out * x_.out, stream_});
    }

    const Axis &z_, &y_, &x_;
    DType result_;
    const TileKernels& tiles_;
    std::int64_t maps_, targets_;
    Maps<const char*> grid_;
    Maps<char*> out_;
    std::int64_t in_bytes_, bytes_;
    bool stream_;
    std::int64_t block_units_, blocks_;
};

}  // namespace

Status check_axes(const Upsampling& upsampling) noexcept {
    for (int i = 0; i < 3; ++i) {
        const std::int64_t in = upsampling.grid_sizes[i], out = upsampling.map_sizes[i];
        if (in < 1 || in > INT32_MAX)
            return invalid("grid_sizes", "holds the sizes of the grid, each 1 or more");
        if (out < 1 || out > INT32_MAX)
            return invalid("map_sizes", "holds the sizes of the maps, each 1 or more");
        if (upsampling.mode != UpsampleMode::gaussian) continue;
        const GaussianAxis& axis = upsampling.axes[i];
        if (!std::isfinite(axis.sigma)) return invalid("sigma", "is not finite");
        if (axis.sigma > 0 && !in_range(axis.sigma)) return invalid("sigma", "is not within 1e-50 ... 1e50");
        if (!(axis.sigma > 0) && in != out)
            return invalid("sigma", "leaves an axis untouched (0 or less), but its sizes differ");
        if (!(std::abs(axis.start) <= kLargest)) return invalid("start", "is not within -1e50 ... 1e50");
        if (!std::isfinite(axis.step) || (axis.sigma > 0 && !(axis.step > 0)))
            return invalid("step", "is not a positive number");
        if (axis.sigma > 0 && !in_range(axis.step)) return invalid("step", "is not within 1e-50 ... 1e50");
    }
    if (upsampling.gain < Gain::spray || upsampling.gain > Gain::mass)
        return invalid("gain", "unknown; it is spray (0), average (1) or mass (2)");
    if (product(upsampling.grid_sizes) < 0)
        return invalid("grid_sizes", "holds sizes whose product is no 64-bit number");
    if (product(upsampling.map_sizes) < 0)
        return invalid("map_sizes", "holds sizes whose product is no 64-bit number");
    return {};
}

Status make_axes(const Upsampling& upsampling, Axes& axes) noexcept {
    try {
        for (int i = 0; i < 3; ++i) {
            const std::int64_t in = upsampling.grid_sizes[i], out = upsampling.map_sizes[i];
            axes.axis[i] = upsampling.mode == UpsampleMode::linear
                               ? linear_axis(in, out)
                               : gaussian_axis(in, out, upsampling.axes[i], upsampling.gain);
        }
    } catch (const std::bad_alloc&) {
        return out_of_memory();
    }
    return {};
}

Status upsample_maps(const Axes& axes, DType dtype, std::int64_t samples, std::int64_t targets,
                     Maps<const char*> grid, Maps<char*> out, int threads) noexcept {
    const std::int64_t maps = samples * targets;
    return Separable(axes, dtype, maps, targets, grid, out).run(useful_threads(maps * axes.out(), threads));
}

Status upsample_views(const View& grid, const MutableView& maps, Upsampling& upsampling,
                      int threads) noexcept {
    if (const Status status = chosen().status; !status.ok()) return status;
    if (const Status status = check_input("grid", grid, 4); !status.ok()) return status;
    if (const Status status = check_input("maps", maps, 4); !status.ok()) return status;
    if (maps.dtype != accumulator(grid.dtype))
        return invalid("maps", "is float64 for float64 grids, float32 for all others");
    if (maps.sizes[0] != grid.sizes[0]) return invalid("maps", "has another number of maps than grid");
    if (const Status status = check_contiguous("grid", grid); !status.ok()) return status;
    if (const Status status = check_contiguous("maps", maps); !status.ok()) return status;
    std::copy_n(grid.sizes + 1, 3, upsampling.grid_sizes);
    std::copy_n(maps.sizes + 1, 3, upsampling.map_sizes);
    if (const Status status = check_axes(upsampling); !status.ok()) return status;
    if (grid.sizes[0] == 0) return {};
    Axes axes;
    if (const Status status = make_axes(upsampling, axes); !status.ok()) return status;
    return upsample_maps(axes, grid.dtype, grid.sizes[0], 1,
                         {static_cast<const char*>(grid.data), axes.in(), 0},
                         {static_cast<char*>(maps.data), axes.out(), 0}, threads);
}

}  // namespace camfast::cpu
