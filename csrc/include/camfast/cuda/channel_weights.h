/// \file
/// Weights of the channels from activations and gradients, on a CUDA device.
#pragma once

#include "camfast/channel_weights.h"
#include "camfast/cuda/stream.h"

namespace camfast::cuda {

/// What channel_weights wants for these views; it depends on sizes, strides and dtype, not on addresses.
///
/// \param method       see WeightMethod.
/// \param activations  as in the call.
/// \param gradients    as in the call.
/// \return bytes and counters of its workspace; none for arguments that it refuses.
WorkspaceSize channel_weights_workspace(WeightMethod method, const View& activations,
                                        const View& gradients) noexcept;

/// As camfast::channel_weights, on memory of the stream's device.
///
/// \param method           see WeightMethod.
/// \param activations      A (N, C, P), any strides; fastest where the stride of p is 1.
/// \param gradients        G (T, N, C, P), the dtype of A, any strides.
/// \param weights          (N, T, C), dtype accumulator(A), stride 1 over C.
/// \param ill_conditioned  null, or (N, T) contiguous flags, as there.
/// \param workspace        at least channel_weights_workspace.
/// \param stream           where the work is queued.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued. Two runs give the same bits.
Status channel_weights(WeightMethod method, const View& activations, const View& gradients,
                       const MutableView& weights, std::uint8_t* ill_conditioned, const Workspace& workspace,
                       const Stream& stream) noexcept;

}  // namespace camfast::cuda
