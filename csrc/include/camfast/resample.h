/// \file
/// A picture at another size, by one band of weights along each axis.
#pragma once

#include <cstdint>

#include "camfast/export.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// What each pixel along an axis is made of: pixel i is the sum over k of weights[i * taps + k] times the
/// picture at first[i] + k.
struct ResampleBand {
    const std::int32_t* first = nullptr;  ///< of each pixel, 0 ... size - taps
    const float* weights = nullptr;       ///< (pixels, taps)
    std::int64_t pixels = 0;              ///< of the result, 1 or more
    std::int64_t taps = 0;                ///< weights of each pixel, 1 or more
};

/// out[c, i, j] = sum_k sum_l y.weights[i, k] x.weights[j, l] image[y.first[i] + k, x.first[j] + l, c], in
/// float32: first along y, where lines lie side by side, then along x. The picture is read once from memory.
///
/// It is what a camera's frame needs before a network. There is no CUDA form: torch's own takes no longer
/// than its launch there.
///
/// \param image    (H, W) or (H, W, C) contiguous, C at most 4; uint8, uint16, or any float.
/// \param y        what the rows of the result are made of.
/// \param x        what its columns are made of.
/// \param out      (C, y.pixels, x.pixels) contiguous float32; every element is written.
/// \param threads  upper bound of the threads used; the bits of the result do not depend on it.
/// \return invalid_argument with the argument's name, out_of_memory, unsupported (see
/// instruction_set_status), or ok. Safe to call from several threads at a time on outputs of their own.
CAMFAST_API Status resample(const View& image, const ResampleBand& y, const ResampleBand& x,
                            const MutableView& out, int threads) noexcept;

}  // namespace camfast
