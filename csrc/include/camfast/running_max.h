/// The running maximum over units, with the unit that it came from.
#pragma once

#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// Where candidate > values, or candidate is NaN and values is not: (candidate, unit), else (values, index).
///
/// \param values      (N, P), dtype accumulator(candidate).
/// \param index       (N, P), int32.
/// \param candidate   (N, P), float32, float64, bfloat16 or float16.
/// \param units       (N), int32; a stride of 0 is one unit for all samples.
/// \param values_out  (N, P), dtype of values: they themselves, or memory that overlaps no input.
/// \param index_out   (N, P), int32; likewise for the index.
/// \param threads     upper bound of the threads used.
/// The last stride of all of (N, P) is 1. An argument is called by its name here in a status.
Status running_max(const View& values, const View& index, const View& candidate, const View& units,
                   const MutableView& values_out, const MutableView& index_out, int threads) noexcept;

}  // namespace camfast
