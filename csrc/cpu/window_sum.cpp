#include "camfast/window_sum.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>

#include "cpu/isa.h"
#include "cpu/parallel.h"
#include "cpu/passes.h"

namespace camfast::cpu {
namespace {

/// Rows of a plane of the grid that a task takes.
constexpr std::int64_t kTaskRows = 64;
/// Elements that a task copies.
constexpr std::int64_t kPieceElements = 1 << 15;

/// The first cells of the windows, on three axes.
class Origins {
public:
    explicit Origins(const View& view) noexcept
        : view_(view), missing_(3 - static_cast<int>(view.sizes[1])) {}

    std::int64_t operator()(std::int64_t n, int axis) const noexcept {
        if (axis < missing_) return 0;
        const std::int64_t at = n * view_.strides[0] + (axis - missing_) * view_.strides[1];
        return view_.dtype == DType::int32 ? static_cast<const std::int32_t*>(view_.data)[at]
                                           : static_cast<const std::int64_t*>(view_.data)[at];
    }
    int missing() const noexcept { return missing_; }
    std::int64_t count() const noexcept { return view_.sizes[0]; }

private:
    const View& view_;
    int missing_;
};

Status check_cells(const char* name, const View& view, int rank, int first) noexcept {
    if (const Status status = check_shape(name, view, rank); !status.ok()) return status;
    if (view.dtype != DType::float64) return invalid(name, "is not float64");
    return check_contiguous(name, view, first);
}

Status check_sizes(const View& total, const View& maps, const View& origins, const View& taper,
                   const MutableView& out) noexcept {
    if (const Status status = check_cells("total", total, 4, 1); !status.ok()) return status;
    if (const Status status = check_input("maps", maps, 3); !status.ok()) return status;
    if (const Status status = check_shape("origins", origins, 2); !status.ok()) return status;
    if (const Status status = check_cells("taper", taper, 3, 0); !status.ok()) return status;
    if (const Status status = check_cells("out", out, 4, 1); !status.ok()) return status;
    for (int axis = 0; axis < 4; ++axis)
        if (out.sizes[axis] != total.sizes[axis]) return invalid("out", "has other sizes than total");
    for (int axis = 0; axis < 3; ++axis)
        if (taper.sizes[axis] < 1 || taper.sizes[axis] > total.sizes[axis + 1])
            return invalid("taper", "has no cells along an axis, or more than the grid");
    if (maps.sizes[1] != total.sizes[0] || maps.sizes[2] != taper.sizes[0] * taper.sizes[1] * taper.sizes[2])
        return invalid("maps", "has sizes that do not fit total and taper");
    if (maps.strides[2] != 1 && maps.sizes[2] > 1) return invalid("maps", "has a last stride other than 1");
    if (origins.dtype != DType::int32 && origins.dtype != DType::int64)
        return invalid("origins", "is not int32 or int64");
    if (origins.sizes[0] != maps.sizes[0] || origins.sizes[1] < 1 || origins.sizes[1] > 3)
        return invalid("origins", "is not (N, A) with one to three axes");
    return {};
}

/// Whether every window lies inside the grid; the message lives until the thread's next one.
Status check_inside(const Origins& origins, const View& total, const View& taper) noexcept {
    thread_local char text[200];
    for (std::int64_t n = 0; n < origins.count(); ++n)
        for (int axis = 0; axis < 3; ++axis) {
            const std::int64_t origin = origins(n, axis), grid = total.sizes[axis + 1],
                               last = grid - taper.sizes[axis];
            if (origin >= 0 && origin <= last) continue;
            std::snprintf(
                text, sizeof text,
                "window %lld starts at cell %lld of axis %d, and must lie wholly inside the grid: it "
                "may start at cells 0 to %lld",
                static_cast<long long>(n), static_cast<long long>(origin), axis - origins.missing(),
                static_cast<long long>(last));
            return invalid("origins", text);
        }
    return {};
}

double* cell(const MutableView& out, std::int64_t t, std::int64_t z, std::int64_t y,
             std::int64_t x) noexcept {
    return static_cast<double*>(out.data) + t * out.strides[0] + (z * out.sizes[2] + y) * out.sizes[3] + x;
}

void copy(const View& total, const MutableView& out, int threads) noexcept {
    const std::int64_t cells = total.sizes[1] * total.sizes[2] * total.sizes[3];
    const std::int64_t pieces = ceil_div(cells, kPieceElements);
    parallel_for(
        total.sizes[0] * pieces, useful_threads(total.sizes[0] * cells, threads), [&](std::int64_t item) {
            const std::int64_t t = item / pieces, begin = item % pieces * kPieceElements;
            std::memcpy(cell(out, t, 0, 0, 0) + begin,
                        static_cast<const double*>(total.data) + t * total.strides[0] + begin,
                        static_cast<std::size_t>(std::min(kPieceElements, cells - begin)) * sizeof(double));
        });
}

}  // namespace
}  // namespace camfast::cpu

namespace camfast {

Status window_sum(const View& total, const View& maps, const View& origins, const View& taper, Blend blend,
                  const MutableView& out, int threads) noexcept {
    using namespace cpu;
    if (const Status status = chosen().status; !status.ok()) return status;
    if (const Status status = check_sizes(total, maps, origins, taper, out); !status.ok()) return status;
    if (blend != Blend::mean && blend != Blend::max) return invalid("blend", "is not mean (0) or max (1)");
    const Origins first(origins);
    if (const Status status = check_inside(first, total, taper); !status.ok()) return status;
    const std::int64_t windows = maps.sizes[0], targets = maps.sizes[1];
    const std::int64_t *const grid = total.sizes + 1, *const size = taper.sizes;
    if (out.data != total.data && grid[0] * grid[1] * grid[2] > 0) copy(total, out, threads);
    if (windows == 0 || targets == 0) return {};

    // planes and rows that some window covers
    std::int64_t begin[2] = {grid[0], grid[1]}, end[2] = {};
    for (std::int64_t n = 0; n < windows; ++n)
        for (int axis = 0; axis < 2; ++axis) {
            begin[axis] = std::min(begin[axis], first(n, axis));
            end[axis] = std::max(end[axis], first(n, axis) + size[axis]);
        }
    const auto add =
        chosen().table.kernels[static_cast<int>(maps.dtype)].blend_window[static_cast<int>(blend)];
    const std::int64_t element = element_size(maps.dtype), planes = end[0] - begin[0];
    const std::int64_t pieces = ceil_div(end[1] - begin[1], kTaskRows);
    // a task owns rows of a plane of a target, and adds what the windows have there, one window after another
    parallel_for(targets * planes * pieces, useful_threads(windows * targets * maps.sizes[2], threads),
                 [&](std::int64_t item) {
                     const std::int64_t t = item / pieces / planes, z = begin[0] + item / pieces % planes;
                     const std::int64_t top = begin[1] + item % pieces * kTaskRows;
                     for (std::int64_t n = 0; n < windows; ++n) {
                         const std::int64_t plane = z - first(n, 0), y = first(n, 1);
                         if (plane < 0 || plane >= size[0]) continue;
                         const std::int64_t row = std::max(top, y),
                                            past = std::min(top + kTaskRows, y + size[1]);
                         if (row >= past) continue;
                         const std::int64_t at = (plane * size[1] + row - y) * size[2];
                         const auto* map = static_cast<const char*>(maps.data) +
                                           (n * maps.strides[0] + t * maps.strides[1] + at) * element;
                         add(map, static_cast<const double*>(taper.data) + at, past - row, size[2],
                             cell(out, t, z, row, first(n, 2)), grid[2]);
                     }
                 });
    return {};
}

}  // namespace camfast
