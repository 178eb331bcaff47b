/// \file
/// Channels summed with given weights, on a CUDA device.
#pragma once

#include "camfast/cuda/stream.h"
#include "camfast/weighted_sum.h"

namespace camfast::cuda {

/// What weighted_sum wants for these activations; it depends on sizes, strides and dtype, not on addresses.
///
/// \param activations  as in the call.
/// \param targets      T, the second size of the weights.
/// \return bytes and counters of its workspace; none for arguments that it refuses.
WorkspaceSize weighted_sum_workspace(const View& activations, std::int64_t targets) noexcept;

/// As camfast::weighted_sum, on memory of the stream's device.
///
/// \param activations  A (N, C, P), any strides; fastest where the stride of p is 1.
/// \param weights      (N, T, C), contiguous, dtype accumulator(A).
/// \param relu         whether negative sums become 0.
/// \param grid         (N, T, P), dtype accumulator(A), stride 1 over P; every element is written.
/// \param workspace    at least weighted_sum_workspace.
/// \param stream       where the work is queued.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued. Two runs give the same bits.
Status weighted_sum(const View& activations, const View& weights, bool relu, const MutableView& grid,
                    const Workspace& workspace, const Stream& stream) noexcept;

}  // namespace camfast::cuda
