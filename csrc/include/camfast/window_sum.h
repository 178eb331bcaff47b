/// \file
/// The maps of overlapping windows, added up on the grid that the windows lie in.
#pragma once

#include "camfast/export.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// What becomes of a cell that several windows cover; the numbers are part of the Python binding.
enum class Blend : int {
    mean = 0,  ///< the sum of tapered maps, which the caller divides by that of the tapers
    max = 1,   ///< the largest
};

/// out = total, but for the cells o_n + i of the windows n = 0, 1, ... N - 1, in this order.
///
/// - mean: out[t, o_n + i] += taper[i] maps[n, t, i], product and sum each rounded to float64
/// - max: out[t, o_n + i] = max(out[t, o_n + i], maps[n, t, i]); NaN takes the place of a number, and stays
///
/// The bits do not depend on the number of threads, nor on how the windows are divided among calls.
///
/// \param total    (T, D0, D1, D2), float64, contiguous behind T; leading axes of size 1 for fewer.
/// \param maps     (N, T, d0 d1 d2), float32, float64, bfloat16 or float16; the last stride is 1.
/// \param origins  (N, A), int32 or int64, A of 1 to 3: a window's first cell along the last A axes, 0 along
///                 those before.
/// \param taper    (d0, d1, d2), float64, contiguous: weights of a window's cells, not read by
///                 max. The window has cells, and no more than the grid along each axis.
/// \param blend    see Blend.
/// \param out      (T, D0, D1, D2), laid out as total: total itself, of which only cells that a window covers
///                 are read and written then, or memory that overlaps no input.
/// \param threads  upper bound of the threads used; the bits of the result do not depend on it.
/// \return invalid_argument with the argument's name, also where a window reaches beyond the grid (nothing is
/// written then), out_of_memory, unsupported (see instruction_set_status), or ok. Safe to call from several
/// threads at a time on outputs of their own.
CAMFAST_API Status window_sum(const View& total, const View& maps, const View& origins, const View& taper,
                              Blend blend, const MutableView& out, int threads) noexcept;

}  // namespace camfast
