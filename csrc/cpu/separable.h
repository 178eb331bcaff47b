/// Upsampling by one banded matrix an axis; the core of both upsamplings.
#pragma once

#include <cstdint>
#include <memory>

#include "camfast/fused_cam.h"
#include "cpu/axis.h"

namespace camfast::cpu {

/// Maps (N, T, z, y, x): the last three contiguous, strides of n and t in elements. `targets` maps stand in a
/// row of t.
template <class Pointer>
struct Maps {
    Pointer data;
    std::int64_t stride_n, stride_t;
    std::int64_t offset(std::int64_t map, std::int64_t targets) const noexcept {
        return map / targets * stride_n + map % targets * stride_t;
    }
};

struct Axes {
    std::shared_ptr<const Axis> axis[3];
    std::int64_t in() const noexcept { return axis[0]->in * axis[1]->in * axis[2]->in; }
    std::int64_t out() const noexcept { return axis[0]->out * axis[1]->out * axis[2]->out; }
};

/// Sigmas and places of Gaussians: squares of their quotients, and the differences of these, have to be
/// numbers.
constexpr double kSmallest = 1e-50, kLargest = 1e50;
constexpr bool in_range(double value) noexcept {
    return value >= kSmallest && value <= kLargest;
}

/// Checks what an upsampling is asked for: sizes, whose products are 64-bit numbers then, and Gaussians.
Status check_axes(const Upsampling& upsampling) noexcept;

/// Makes the axes of an upsampling that is right. They take memory by their sizes: not where there are no
/// maps.
Status make_axes(const Upsampling& upsampling, Axes& axes) noexcept;

/// out[m] = grid[m] upsampled for `samples * targets` maps.
Status upsample_maps(const Axes& axes, DType dtype, std::int64_t samples, std::int64_t targets,
                     Maps<const char*> grid, Maps<char*> out, int threads) noexcept;

/// The public functions on contiguous (M, D0, D1, D2) grids.
Status upsample_views(const View& grid, const MutableView& maps, Upsampling& upsampling,
                      int threads) noexcept;

}  // namespace camfast::cpu
