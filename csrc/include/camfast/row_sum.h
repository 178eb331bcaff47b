/// \file
/// The rows of a matrix summed with given factors, where many factors are 0.
#pragma once

#include "camfast/export.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// out[i] = sum_j factors[j] matrix[j, i] over the j with factors[j] != 0: other rows are not read, whatever
/// they hold.
///
/// Eight products at a time are summed in the type of the results, and these sums in float64: the error is at
/// most about 8 epsilon sum_j |factors[j] matrix[j, i]|.
///
/// It is the product of one sample's gradient with the weights of a dense layer behind which a ReLU left many
/// units at 0. There is no CUDA form: on a GPU that product takes as long as its launch.
///
/// \param matrix   (J, I), any stride of rows, stride 1 over I.
/// \param factors  (J), contiguous, dtype accumulator(matrix).
/// \param out      (I), contiguous, dtype accumulator(matrix); every element is written.
/// \param threads  upper bound of the threads used; the bits of the result do not depend on it.
/// \return invalid_argument with the argument's name, out_of_memory, unsupported (see
/// instruction_set_status), or ok. Safe to call from several threads at a time on outputs of their own.
CAMFAST_API Status row_sum(const View& matrix, const View& factors, const MutableView& out,
                           int threads) noexcept;

}  // namespace camfast
