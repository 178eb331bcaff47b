/// \file
/// Gradients times activations, summed over the channels.
#pragma once

#include "camfast/export.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// What is rectified before the sum. The numbers are part of the Python binding.
enum class Rectify : int {
    none = 0,       ///< G A: HiResCAM (Draelos 2020), Extended-CAM (Kim 2020)
    gradients = 1,  ///< max(G, 0) A: LayerCAM (Jiang 2021)
    product = 2,    ///< max(G A, 0): element-wise Grad-CAM
};

/// grid[n, t, p] = sum_k rectified(G[t, n, k, p] A[n, k, p]), then max(., 0) where `relu` (NaN stays NaN).
///
/// \param rectify      see Rectify.
/// \param activations  A (N, C, P), any strides; fastest where the stride of p is 1.
/// \param gradients    G (T, N, C, P), the dtype of A, any strides.
/// \param relu         whether negative sums become 0.
/// \param grid         (N, T, P), dtype accumulator(A), stride 1 over P; every element is written.
/// \param threads      upper bound of the threads used; the bits of the result do not depend on it.
/// \return invalid_argument with the argument's name, out_of_memory, unsupported (see
/// instruction_set_status), or ok. Safe to call from several threads at a time on outputs of their own.
CAMFAST_API Status product_sum(Rectify rectify, const View& activations, const View& gradients, bool relu,
                               const MutableView& grid, int threads) noexcept;

}  // namespace camfast
