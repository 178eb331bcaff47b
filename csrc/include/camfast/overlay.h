/// \file
/// A map in colour over its image.
#pragma once

#include <cstdint>

#include "camfast/export.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// How a map is coloured, and laid over its image.
struct Shading {
    const std::uint8_t* table = nullptr;  ///< (256, 3) red, green, blue
    double low = 0.0;                     ///< value of the heat at the first colour
    double high = 1.0;                    ///< value of the heat at the last colour
    double alpha = 0.5;                   ///< opacity of the colours, 0 ... 1
    double black = 0.0;                   ///< level of the image that is shown black
    double white = 1.0;                   ///< level that is shown white, another than black
    double sigma[2] = {0.0, 0.0};         ///< of y and x, in pixels; both 0: linear upsampling
    double threshold = 0.0;               ///< share of the table, 0 ... 1, below which the image is alone
};

/// With u the heat upsampled to the image (linearly, or by Gaussians of gain "average" with centres that tile
/// the image), t = clip((u - low) / (high - low), 0, 1) (0 where low = high) and
/// v = 255 clip((image - black) / (white - black), 0, 1): out = round(v + (table[round(255 t)] - v) alpha),
/// and round(v) where t < threshold. A pixel whose t is NaN is magenta, one whose image is NaN is black.
///
/// \param image    (N, H, W) or (N, H, W, 3) contiguous; uint8, uint16, or any float.
/// \param heat     (N, h, w) contiguous; any float.
/// \param shading  all numbers finite, but for low and high.
/// \param out      (N, H, W, 3) uint8; all but the first axis contiguous. Must not overlap an input.
/// \param threads  upper bound of the threads used; the bits of the result do not depend on it.
/// \return invalid_argument with the argument's name, out_of_memory, unsupported (see
/// instruction_set_status), or ok. Safe to call from several threads at a time on outputs of their own.
CAMFAST_API Status overlay(const View& image, const View& heat, const Shading& shading,
                           const MutableView& out, int threads) noexcept;

}  // namespace camfast
