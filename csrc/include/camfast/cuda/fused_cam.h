/// \file
/// A class activation map, and its upsampling, on a CUDA device, from activations and gradients in one call.
#pragma once

#include "camfast/cuda/band.h"
#include "camfast/cuda/stream.h"
#include "camfast/fused_cam.h"

namespace camfast::cuda {

/// What fused_cam wants for these views; it depends on sizes, strides, dtype and device, not on addresses.
///
/// \param method       see CamMethod.
/// \param activations  as in the call.
/// \param gradients    as in the call.
/// \param device       number of the stream's device.
/// \return bytes and counters of its workspace; none for arguments that it refuses.
WorkspaceSize fused_cam_workspace(CamMethod method, const View& activations, const View& gradients,
                                  int device) noexcept;

/// As camfast::fused_cam, on memory of the stream's device.
///
/// Maps that a block can hold take one launch, which reads A and G once. Of larger ones A is read a second
/// time, from the second-level cache where the method needs sums over A and where there is one target.
///
/// \param method           see CamMethod.
/// \param relu             whether negative values of the grid become 0, before upsampling.
/// \param activations      A (N, C, P), any strides; fastest where the stride of p is 1.
/// \param gradients        G (T, N, C, P), the dtype of A, any strides.
/// \param grid             (N, T, P), dtype accumulator(A), stride 1 over P; it must be given.
/// \param weights          (N, T, C) or null data, as there; null for the three product methods.
/// \param ill_conditioned  (N, T) flags as there, or null; null for the three product methods.
/// \param bands            how `maps` is made along z, y and x, as in linear_upsample.h: a launch more.
/// \param maps             (N, T, pixels), stride 1 over the last; null data for no upsampling.
/// \param workspace        at least fused_cam_workspace.
/// \param stream           where the work is queued.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued. Two runs on one kind of device give the same bits.
Status fused_cam(CamMethod method, bool relu, const View& activations, const View& gradients,
                 const MutableView& grid, const MutableView& weights, std::uint8_t* ill_conditioned,
                 const BandView (&bands)[3], const MutableView& maps, const Workspace& workspace,
                 const Stream& stream) noexcept;

}  // namespace camfast::cuda
