/// \file
/// A class activation map, and its upsampling, from activations and gradients in one call.
#pragma once

#include <cstdint>

#include "camfast/export.h"
#include "camfast/gaussian_upsample.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// The methods of WeightMethod under the same numbers, then those of Rectify. The numbers are part of the
/// Python binding.
enum class CamMethod : int {
    gradcam = 0,                      ///< Grad-CAM
    gradcampp = 1,                    ///< Grad-CAM++
    xgradcam = 2,                     ///< XGrad-CAM
    respond = 3,                      ///< Respond-CAM
    product = 4,                      ///< HiResCAM, Extended-CAM
    product_rectified_gradients = 5,  ///< LayerCAM
    rectified_product = 6,            ///< element-wise Grad-CAM
};

/// How `maps` is made of the grid. The numbers are part of the Python binding.
enum class UpsampleMode : int {
    none = 0,      ///< not at all
    linear = 1,    ///< as linear_upsample does
    gaussian = 2,  ///< as gaussian_upsample does
};

/// Upsampling of the grid: P = grid_sizes[0] * grid_sizes[1] * grid_sizes[2], leading 1s for fewer axes.
struct Upsampling {
    UpsampleMode mode = UpsampleMode::none;  ///< none: the rest is not read
    std::int64_t grid_sizes[3] = {1, 1, 1};  ///< cells along each axis
    std::int64_t map_sizes[3] = {1, 1, 1};   ///< pixels along each axis
    GaussianAxis axes[3];                    ///< gaussian only
    Gain gain = Gain::spray;                 ///< gaussian only
};

/// grid[n, t, p] by the method, rectified where `relu`; maps = the grid upsampled.
/// A and G come from memory once: weights and their sum are taken block by block of channels, while A is in
/// cache.
///
/// \param method           see CamMethod.
/// \param relu             whether negative values of the grid become 0, before upsampling.
/// \param activations      A (N, C, P), any strides; fastest where the stride of p is 1.
/// \param gradients        G (T, N, C, P), the dtype of A, any strides.
/// \param grid             (N, T, P), dtype accumulator(A), stride 1 over P; every element is written.
///                         Null data where `maps` alone are wanted.
/// \param weights          (N, T, C), stride 1 over C, or null data; null for the three product methods.
/// \param ill_conditioned  (N, T) flags as in channel_weights.h, or null; null for the three product methods.
/// \param upsampling       how `maps` is made.
/// \param maps             (N, T, map_sizes product), stride 1 over the last; ignored where mode is none.
/// \param threads          upper bound of the threads used; the bits of the result do not depend on it.
/// \return invalid_argument with the argument's name, out_of_memory, unsupported (see
/// instruction_set_status), or ok. Safe to call from several threads at a time on outputs of their own.
CAMFAST_API Status fused_cam(CamMethod method, bool relu, const View& activations, const View& gradients,
                             const MutableView& grid, const MutableView& weights,
                             std::uint8_t* ill_conditioned, const Upsampling& upsampling,
                             const MutableView& maps, int threads) noexcept;

}  // namespace camfast
