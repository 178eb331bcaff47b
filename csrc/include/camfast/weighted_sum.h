/// \file
/// Channels summed with given weights.
#pragma once

#include "camfast/export.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// grid[n, t, p] = sum_k weights[n, t, k] A[n, k, p], then max(., 0) where `relu` (NaN stays NaN).
///
/// \param activations  A (N, C, P), any strides; fastest where the stride of p is 1.
/// \param weights      (N, T, C), contiguous, dtype accumulator(A).
/// \param relu         whether negative sums become 0.
/// \param grid         (N, T, P), dtype accumulator(A), stride 1 over P; every element is written.
/// \param threads      upper bound of the threads used; the bits of the result do not depend on it.
/// \return invalid_argument with the argument's name, out_of_memory, unsupported (see
/// instruction_set_status), or ok. Safe to call from several threads at a time on outputs of their own.
CAMFAST_API Status weighted_sum(const View& activations, const View& weights, bool relu,
                                const MutableView& grid, int threads) noexcept;

}  // namespace camfast
