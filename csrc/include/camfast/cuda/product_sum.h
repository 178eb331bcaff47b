/// \file
/// Gradients times activations, summed over the channels, on a CUDA device.
#pragma once

#include "camfast/cuda/stream.h"
#include "camfast/product_sum.h"

namespace camfast::cuda {

/// What product_sum wants for these views; it depends on sizes, strides and dtype, not on addresses.
///
/// \param activations  as in the call.
/// \param gradients    as in the call.
/// \return bytes and counters of its workspace; none for arguments that it refuses.
WorkspaceSize product_sum_workspace(const View& activations, const View& gradients) noexcept;

/// As camfast::product_sum, on memory of the stream's device.
///
/// \param rectify      see Rectify.
/// \param activations  A (N, C, P), any strides; fastest where the stride of p is 1.
/// \param gradients    G (T, N, C, P), the dtype of A, any strides.
/// \param relu         whether negative sums become 0.
/// \param grid         (N, T, P), dtype accumulator(A), stride 1 over P; every element is written.
/// \param workspace    at least product_sum_workspace.
/// \param stream       where the work is queued.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued. Two runs give the same bits.
Status product_sum(Rectify rectify, const View& activations, const View& gradients, bool relu,
                   const MutableView& grid, const Workspace& workspace, const Stream& stream) noexcept;

}  // namespace camfast::cuda
