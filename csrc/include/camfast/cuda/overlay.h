/// A map in colour over its image, on a CUDA device.
#pragma once

#include <cstdint>

#include "camfast/cuda/band.h"
#include "camfast/cuda/stream.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast::cuda {

/// A value of the heat: a number, or one that the device reads when the kernel runs.
struct Level {
    double value = 0;
    const float* device = nullptr;  ///< where not null, it counts
};

/// As camfast::Shading, with what the device reads in its memory.
struct Shading {
    const std::uint8_t* table = nullptr;  ///< (256, 3) red, green, blue
    Level low, high;                      ///< values of the heat at both ends of the table
    double alpha = 0.5;                   ///< opacity of the colours, 0 ... 1
    double black = 0.0, white = 1.0;      ///< levels of the image, different
    double threshold = 0.0;               ///< share of the table, 0 ... 1, below which the image is alone
};

/// As camfast::overlay, on memory of the stream's device, in one launch.
///
/// \param image  (N, H, W) or (N, H, W, 3) contiguous; uint8, uint16, or any float. Fastest for uint8, uint16
///               and float32 where W is a multiple of 4 (of 16 for the output).
/// \param heat   (N, h, w) contiguous; any float.
/// \param bands  float32 weights of y and x, the sum of each pixel's being 1.
/// \param out    (N, H, W, 3) uint8; all but the first axis contiguous. Must not overlap an input.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued. Two runs give the same bits.
Status overlay(const View& image, const View& heat, const BandView (&bands)[2], const Shading& shading,
               const MutableView& out, const Stream& stream) noexcept;

}  // namespace camfast::cuda
