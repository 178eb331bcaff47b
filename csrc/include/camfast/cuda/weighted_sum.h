/// Channels summed with given weights, on a CUDA device.
#pragma once

#include "camfast/cuda/stream.h"
#include "camfast/weighted_sum.h"

namespace camfast::cuda {

/// What weighted_sum wants for these activations; it depends on sizes, strides and dtype, not on addresses.
WorkspaceSize weighted_sum_workspace(const View& activations, std::int64_t targets) noexcept;

/// As camfast::weighted_sum, on memory of the stream's device.
///
/// \param workspace  at least weighted_sum_workspace.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued. Two runs give the same bits.
Status weighted_sum(const View& activations, const View& weights, bool relu, const MutableView& grid,
                    const Workspace& workspace, const Stream& stream) noexcept;

}  // namespace camfast::cuda
