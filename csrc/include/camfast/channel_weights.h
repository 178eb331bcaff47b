/// \file
/// Weights of the channels from activations and gradients.
#pragma once

#include <cstdint>

#include "camfast/export.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// Methods that give each channel one weight; S_k = sum_p A_k, Z = number of positions. The numbers are part
/// of the Python binding.
enum class WeightMethod : int {
    gradcam = 0,    ///< sum_p G_k / Z (Selvaraju 2017)
    gradcampp = 1,  ///< sum_p alpha G_k, alpha = 1 / (2 + S_k G_k) where G_k > 0, else 0 (Chattopadhay 2018)
    xgradcam = 2,   ///< sum_p G_k A_k / (S_k + 1e-7) (Fu 2020)
    respond = 3,    ///< sum_p G_k A_k / (S_k + Z 1e-10) (Zhao 2018)
};

/// weights[n, t, k] = the method's weight of channel k of sample n for target t.
///
/// \param method           see WeightMethod.
/// \param activations      A (N, C, P), any strides; fastest where the stride of p is 1.
/// \param gradients        G (T, N, C, P), the dtype of A, any strides.
/// \param weights          (N, T, C), dtype accumulator(A), stride 1 over C.
/// \param ill_conditioned  null, or (N, T) contiguous flags: 1 where a channel that is not dead has
///                         |S_k| < 1e-4 sum|A_k| (respond, xgradcam, gradcampp), or an element comes to
///                         2 + S_k G < 2e-4 with G > 0 (gradcampp); always 0 for gradcam.
/// \param threads          upper bound of the threads used; the bits of the result do not depend on it.
/// \return invalid_argument with the argument's name, out_of_memory, unsupported (see
/// instruction_set_status), or ok. Safe to call from several threads at a time on outputs of their own.
CAMFAST_API Status channel_weights(WeightMethod method, const View& activations, const View& gradients,
                                   const MutableView& weights, std::uint8_t* ill_conditioned,
                                   int threads) noexcept;

}  // namespace camfast
