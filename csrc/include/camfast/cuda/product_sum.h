/// Gradients times activations, summed over the channels, on a CUDA device.
#pragma once

#include "camfast/cuda/stream.h"
#include "camfast/product_sum.h"

namespace camfast::cuda {

/// What product_sum wants for these views; it depends on sizes, strides and dtype, not on addresses.
WorkspaceSize product_sum_workspace(const View& activations, const View& gradients) noexcept;

/// As camfast::product_sum, on memory of the stream's device.
///
/// \param workspace  at least product_sum_workspace.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued. Two runs give the same bits.
Status product_sum(Rectify rectify, const View& activations, const View& gradients, bool relu,
                   const MutableView& grid, const Workspace& workspace, const Stream& stream) noexcept;

}  // namespace camfast::cuda
