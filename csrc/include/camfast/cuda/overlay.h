/// \file
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
    double value = 0;               ///< the number
    const float* device = nullptr;  ///< where not null, it counts
};

/// As camfast::Shading, with what the device reads in its memory.
struct Shading {
    const std::uint8_t* table = nullptr;  ///< (256, 3) red, green, blue
    Level low;                            ///< value of the heat at the first colour
    Level high;                           ///< value of the heat at the last colour
    double alpha = 0.5;                   ///< opacity of the colours, 0 ... 1
    double black = 0.0;                   ///< level of the image that is shown black
    double white = 1.0;                   ///< level that is shown white, another than black
    double threshold = 0.0;               ///< share of the table, 0 ... 1, below which the image is alone
};

/// As camfast::overlay, on memory of the stream's device, in one launch.
///
/// \param image  (N, H, W) or (N, H, W, 3) contiguous; uint8, uint16, or any float. Fastest for uint8, uint16
///               and float32 where W is a multiple of 4 (of 16 for the output).
/// \param heat   (N, h, w) contiguous; any float.
/// \param bands  float32 weights of y and x, the sum of each pixel's being 1.
/// \param shading  as there; its numbers finite, but for low and high.
/// \param out    (N, H, W, 3) uint8; all but the first axis contiguous. Must not overlap an input.
/// \param stream   where the work is queued.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued. Two runs give the same bits.
Status overlay(const View& image, const View& heat, const BandView (&bands)[2], const Shading& shading,
               const MutableView& out, const Stream& stream) noexcept;

}  // namespace camfast::cuda
