/// \file
/// Linear interpolation of maps in one to three dimensions.
#pragma once

#include "camfast/export.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// maps[m, i] = grid[m] at max((i + 1/2) d / o - 1/2, 0) on each axis, linear between cells and clamped at
/// the last: half-pixel centres, no filter when the output is the smaller.
///
/// \param grid     (M, D0, D1, D2) contiguous, any dtype; leading sizes of 1 for fewer axes.
/// \param maps     (M, O0, O1, O2) contiguous, dtype accumulator(grid); every element is written.
/// \param threads  upper bound of the threads used; the bits of the result do not depend on it.
/// \return invalid_argument with the argument's name, out_of_memory, unsupported (see
/// instruction_set_status), or ok. Safe to call from several threads at a time on outputs of their own.
CAMFAST_API Status linear_upsample(const View& grid, const MutableView& maps, int threads) noexcept;

}  // namespace camfast
