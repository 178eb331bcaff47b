/// \file
/// Gaussian upsampling (Kim 2020, equation 4), on a CUDA device.
#pragma once

#include "camfast/cuda/band.h"
#include "camfast/cuda/stream.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast::cuda {

/// As camfast::gaussian_upsample, on memory of the stream's device, in one launch.
///
/// \param grid   (M, D0, D1, D2) contiguous, any dtype; leading sizes of 1 for fewer axes.
/// \param maps   (M, O0, O1, O2) contiguous, dtype accumulator(grid); every element is written. Fastest where
///               it is aligned to 16 bytes and O2 is a multiple of 16 bytes.
/// \param bands  the axes' Gaussians with their gain, cut off or not. Where an axis has more than two taps, a
/// NaN
///               or infinity of the grid may reach a few pixels beyond them.
/// \param stream  where the work is queued.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued. Two runs give the same bits.
Status gaussian_upsample(const View& grid, const MutableView& maps, const BandView (&bands)[3],
                         const Stream& stream) noexcept;

}  // namespace camfast::cuda
