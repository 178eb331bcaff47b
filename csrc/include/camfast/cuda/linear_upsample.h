/// \file
/// Linear interpolation of maps in one to three dimensions, on a CUDA device.
#pragma once

#include "camfast/cuda/band.h"
#include "camfast/cuda/stream.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast::cuda {

/// As camfast::linear_upsample, on memory of the stream's device, in one launch.
///
/// \param grid   (M, D0, D1, D2) contiguous, any dtype; leading sizes of 1 for fewer axes.
/// \param maps   (M, O0, O1, O2) contiguous, dtype accumulator(grid); every element is written. Fastest where
///               it is aligned to 16 bytes and O2 is a multiple of 16 bytes.
/// \param bands  the axes' weights; two taps at max((x + 1/2) d / o - 1/2, 0).
/// \param stream  where the work is queued.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued. Two runs give the same bits.
Status linear_upsample(const View& grid, const MutableView& maps, const BandView (&bands)[3],
                       const Stream& stream) noexcept;

}  // namespace camfast::cuda
