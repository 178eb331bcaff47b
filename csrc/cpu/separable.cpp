#include "cpu/separable.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>

#include "cpu/buffer.h"
#include "cpu/isa.h"
#include "cpu/parallel.h"
#include "cpu/passes.h"

namespace camfast::cpu {
namespace {

/// Elements of a row of the result that one task makes at a time.
constexpr std::int64_t kLineElements = 4096;
/// Elements of the rows that one task combines over z: its lines of all planes should stay in the
/// second-level cache.
constexpr std::int64_t kBlockElements = 512;
/// Bytes of x-expanded maps that are held at a time.
constexpr std::int64_t kExpandedBytes = std::int64_t{1} << 21;

/// x first, where there is least to do, line by line; then for a block of output rows y into lines of every
/// plane, and z last, which writes the result once.
class Separable {
public:
    Separable(const Axes& axes, DType dtype, std::int64_t targets, Maps<const char*> grid,
              Maps<char*> out) noexcept
        : z_(*axes.axis[0]),
          y_(*axes.axis[1]),
          x_(*axes.axis[2]),
          result_(accumulator(dtype)),
          tiles_(chosen().table.kernels[static_cast<int>(dtype)]),
          targets_(targets),
          grid_(grid),
          out_(out),
          in_bytes_(element_size(dtype)),
          bytes_(element_size(result_)) {
        block_rows_ = std::min(y_.out, std::max<std::int64_t>(1, kBlockElements / x_.out));
        blocks_ = ceil_div(y_.out, block_rows_);
    }

    Status run(std::int64_t maps, int threads) noexcept {
        const std::int64_t one = expanded_bytes();
        const std::int64_t group = in_place() ? maps : std::max<std::int64_t>(1, kExpandedBytes / one);
        const bool whole_maps = threads > 1 && one <= kExpandedBytes / 4 && maps >= 4 * threads;
        std::atomic<bool> failed{false};
        if (whole_maps) {
            parallel_for(maps, threads, [&](std::int64_t map) { run_group({map, map + 1}, 1, failed); });
        } else {
            for (std::int64_t map = 0; map < maps; map += group)
                run_group({map, std::min(map + group, maps)}, threads, failed);
        }
        return failed ? out_of_memory() : Status{};
    }

private:
    std::int64_t expanded_bytes() const noexcept { return z_.in * y_.in * x_.out * bytes_; }
    bool in_place() const noexcept { return x_.identity && in_bytes_ == bytes_; }

    const char* grid_line(std::int64_t map, std::int64_t line) const noexcept {
        return grid_.data + (grid_.offset(map, targets_) + line * x_.in) * in_bytes_;
    }

    void run_group(Range maps, int threads, std::atomic<bool>& failed) const noexcept {
        const Buffer expanded(in_place() ? 1 : static_cast<std::size_t>(maps.size() * expanded_bytes()));
        if (!expanded) {
            failed = true;
            return;
        }
        const std::int64_t lines = z_.in * y_.in;
        if (!in_place()) {
            const std::int64_t pieces = ceil_div(x_.out, kLineElements);
            const std::int64_t chunk = std::max<std::int64_t>(1, kLineElements / x_.out);
            const std::int64_t chunks = ceil_div(lines, chunk);
            parallel_for(maps.size() * chunks * pieces, threads, [&](std::int64_t item) {
                const std::int64_t piece = item % pieces, first = item / pieces % chunks * chunk;
                const std::int64_t map = item / pieces / chunks;
                const Range part{piece * kLineElements, std::min((piece + 1) * kLineElements, x_.out)};
                for (std::int64_t line = first; line < std::min(first + chunk, lines); ++line)
                    if (!expand(grid_line(maps.begin + map, line), part,
                                expanded.as<char>() + (map * lines + line) * x_.out * bytes_))
                        failed = true;
            });
        }
        parallel_for(maps.size() * blocks_, threads, [&](std::int64_t item) {
            const std::int64_t map = item / blocks_;
            const char* const source = in_place() ? grid_line(maps.begin + map, 0)
                                                  : expanded.as<char>() + map * lines * x_.out * bytes_;
            char* const target = out_.data + out_.offset(maps.begin + map, targets_) * bytes_;
            const std::int64_t row = item % blocks_ * block_rows_;
            if (!combine(source, {row, std::min(row + block_rows_, y_.out)}, target)) failed = true;
        });
    }

    /// Part of a line of the grid, expanded along x.
    bool expand(const char* line, Range part, char* target) const noexcept {
        char* const out = target + part.begin * bytes_;
        if (x_.identity) {
            tiles_.convert(line + part.begin * in_bytes_, part.size(), out);
            return true;
        }
        const auto apply = [&](const char* cells) {
            tiles_.expand_line(cells, x_.index_by_tap.data() + part.begin,
                               x_.weight_by_tap(result_, part.begin), x_.taps, x_.out, part.size(), out);
        };
        if (in_bytes_ == bytes_) {
            apply(line);
            return true;
        }
        const Buffer converted(static_cast<std::size_t>(x_.in * bytes_));
        if (!converted) return false;
        tiles_.convert(line, x_.in, converted.as<char>());
        apply(converted.as<char>());
        return true;
    }

    /// Rows of the result in every plane, from expanded lines (z, y).
    bool combine(const char* source, Range rows, char* target) const noexcept {
        const std::int64_t line = x_.out * bytes_;
        const std::int64_t width = rows.size() * x_.out;
        const std::int64_t pointers = std::max(y_.taps, z_.taps);
        const Buffer space(static_cast<std::size_t>(z_.in * width * bytes_) +
                           static_cast<std::size_t>(pointers) * sizeof(void*));
        if (!space) return false;
        auto** const lines = space.as<const void*>();
        char* const block = space.as<char>() + static_cast<std::size_t>(pointers) * sizeof(void*);
        for (std::int64_t z = 0; z < z_.in; ++z) {
            char* const out =
                z_.identity ? target + (z * y_.out + rows.begin) * line : block + z * width * bytes_;
            const char* const plane = source + z * y_.in * line;
            if (y_.identity) {
                std::copy_n(plane + rows.begin * line, width * bytes_, out);
                continue;
            }
            for (std::int64_t y = rows.begin; y < rows.end; ++y) {
                for (std::int64_t t = 0; t < y_.taps; ++t)
                    lines[t] = plane + y_.index[static_cast<std::size_t>(y * y_.taps + t)] * line;
                tiles_.combine_lines(lines, y_.weight(result_, y), y_.taps, x_.out,
                                     out + (y - rows.begin) * line);
            }
        }
        if (z_.identity) return true;
        for (std::int64_t z = 0; z < z_.out; ++z) {
            for (std::int64_t t = 0; t < z_.taps; ++t)
                lines[t] = block + z_.index[static_cast<std::size_t>(z * z_.taps + t)] * width * bytes_;
            tiles_.combine_lines(lines, z_.weight(result_, z), z_.taps, width,
                                 target + (z * y_.out + rows.begin) * line);
        }
        return true;
    }

    const Axis &z_, &y_, &x_;
    DType result_;
    const TileKernels& tiles_;
    std::int64_t targets_;
    Maps<const char*> grid_;
    Maps<char*> out_;
    std::int64_t in_bytes_, bytes_;
    std::int64_t block_rows_, blocks_;
};

}  // namespace

Status make_axes(const Upsampling& upsampling, Axes& axes) noexcept {
    for (int i = 0; i < 3; ++i) {
        const std::int64_t in = upsampling.grid_sizes[i], out = upsampling.map_sizes[i];
        if (in < 1 || in > INT32_MAX) return invalid("d", "holds the sizes of the grid, each 1 or more");
        if (out < 1 || out > INT32_MAX) return invalid("o", "holds the sizes of the maps, each 1 or more");
        if (upsampling.mode != UpsampleMode::gaussian) continue;
        const GaussianAxis& axis = upsampling.axes[i];
        if (!std::isfinite(axis.sigma)) return invalid("sigma", "is not finite");
        if (!(axis.sigma > 0) && in != out)
            return invalid("sigma", "leaves an axis untouched (0 or less), but its sizes differ");
        if (!std::isfinite(axis.start)) return invalid("start", "is not finite");
        if (!std::isfinite(axis.step) || (axis.sigma > 0 && !(axis.step > 0)))
            return invalid("step", "is not a positive number");
    }
    if (upsampling.gain < Gain::spray || upsampling.gain > Gain::mass)
        return invalid("gain", "unknown; it is spray (0), average (1) or mass (2)");
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
    return Separable(axes, dtype, targets, grid, out).run(maps, useful_threads(maps * axes.out(), threads));
}

Status upsample_views(const View& grid, const MutableView& maps, Upsampling& upsampling,
                      int threads) noexcept {
    if (const Status status = chosen().status; !status.ok()) return status;
    if (const Status status = check_input("grid", grid, 4); !status.ok()) return status;
    if (const Status status = check_input("out", as_input(maps), 4); !status.ok()) return status;
    if (maps.dtype != accumulator(grid.dtype))
        return invalid("out", "is float64 for float64 grids, float32 for all others");
    if (maps.sizes[0] != grid.sizes[0]) return invalid("out", "has another number of maps than grid");
    std::copy_n(grid.sizes + 1, 3, upsampling.grid_sizes);
    std::copy_n(maps.sizes + 1, 3, upsampling.map_sizes);
    Axes axes;
    if (const Status status = make_axes(upsampling, axes); !status.ok()) return status;
    return upsample_maps(axes, grid.dtype, grid.sizes[0], 1,
                         {static_cast<const char*>(grid.data), axes.in(), 0},
                         {static_cast<char*>(maps.data), axes.out(), 0}, threads);
}

}  // namespace camfast::cpu
