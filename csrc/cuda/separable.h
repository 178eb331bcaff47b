/// Upsampling by one banded matrix an axis; the core of both upsamplings, and of what is upsampled behind
/// fused_cam.
#pragma once

#include <cstdint>

#include "camfast/cuda/band.h"
#include "camfast/cuda/stream.h"
#include "camfast/status.h"
#include "camfast/view.h"
#include "cuda/tiling.h"

namespace camfast::cuda {

/// Maps (N, T, z, y, x): the last three contiguous, strides of n and t in elements.
template <class Pointer>
struct Maps {
    Pointer data;
    std::int64_t stride_n, stride_t;
};

/// Bands of the axes z, y, x; leading axes of one cell and one pixel for fewer.
using Bands = BandView[3];

/// Checks sizes and tables; `name` is the argument that an error names.
Status check_bands(const char* name, const BandView* bands, int axes) noexcept;

/// The sizes of a band that has been checked.
AxisSizes sizes_of(const BandView& band) noexcept;

/// Asked of the driver once for each device.
Status limits_of(int device, DeviceLimits& limits) noexcept;

/// out[n, t] = grid[n, t] upsampled, in one launch. `dtype` is that of the grid; bands have been checked.
Status upsample_maps(const char* name, DType dtype, std::int64_t samples, std::int64_t targets,
                     Maps<const void*> grid, Maps<void*> out, const Bands& bands,
                     const Stream& stream) noexcept;

/// The public functions on contiguous (M, D0, D1, D2) grids.
Status upsample_views(const char* name, const View& grid, const MutableView& maps, const Bands& bands,
                      const Stream& stream) noexcept;

}  // namespace camfast::cuda
