/// \file
/// The running maximum over units, with the unit that it came from.
#pragma once

#include "camfast/export.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// Where candidate > values, or candidate is NaN and values is not: (candidate, unit), else (values, index).
/// The last stride of all of (N, P) is 1.
///
/// \param values      (N, P), dtype accumulator(candidate).
/// \param index       (N, P), int32.
/// \param candidate   (N, P), float32, float64, bfloat16 or float16.
/// \param units       (N), int32; a stride of 0 is one unit for all samples.
/// \param values_out  (N, P), dtype of values: they themselves, or memory that overlaps no input.
/// \param index_out   (N, P), int32; likewise for the index.
/// \param threads     upper bound of the threads used; the result does not depend on it.
/// \return invalid_argument with the argument's name, out_of_memory, unsupported (see
/// instruction_set_status), or ok. Safe to call from several threads at a time on outputs of their own.
CAMFAST_API Status running_max(const View& values, const View& index, const View& candidate,
                               const View& units, const MutableView& values_out, const MutableView& index_out,
                               int threads) noexcept;

}  // namespace camfast
