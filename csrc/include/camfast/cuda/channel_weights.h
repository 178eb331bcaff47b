/// Weights of the channels from activations and gradients, on a CUDA device.
#pragma once

#include "camfast/channel_weights.h"
#include "camfast/cuda/stream.h"

namespace camfast::cuda {

/// What channel_weights wants for these views; it depends on sizes, strides and dtype, not on addresses.
WorkspaceSize channel_weights_workspace(WeightMethod method, const View& activations,
                                        const View& gradients) noexcept;

/// As camfast::channel_weights, on memory of the stream's device.
///
/// \param workspace  at least channel_weights_workspace.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued. Two runs give the same bits.
Status channel_weights(WeightMethod method, const View& activations, const View& gradients,
                       const MutableView& weights, std::uint8_t* ill_conditioned, const Workspace& workspace,
                       const Stream& stream) noexcept;

}  // namespace camfast::cuda
