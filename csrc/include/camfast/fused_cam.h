/// A class activation map, and its upsampling, from activations and gradients in one call.
#pragma once

#include <cstdint>

#include "camfast/gaussian_upsample.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// The methods of WeightMethod under the same numbers, then those of Rectify. The numbers are part of the
/// Python binding.
enum class CamMethod : int {
    gradcam = 0,
    gradcampp = 1,
    xgradcam = 2,
    respond = 3,
    product = 4,                      ///< HiResCAM, Extended-CAM
    product_rectified_gradients = 5,  ///< LayerCAM
    rectified_product = 6,            ///< element-wise Grad-CAM
};

enum class UpsampleMode : int { none = 0, linear = 1, gaussian = 2 };

/// Upsampling of the grid: P = grid_sizes[0] * grid_sizes[1] * grid_sizes[2], leading 1s for fewer axes.
struct Upsampling {
    UpsampleMode mode = UpsampleMode::none;
    std::int64_t grid_sizes[3] = {1, 1, 1};
    std::int64_t map_sizes[3] = {1, 1, 1};
    GaussianAxis axes[3];     ///< gaussian only
    Gain gain = Gain::spray;  ///< gaussian only
};

/// grid[n, t, p] by the method, rectified where `relu`; maps = the grid upsampled.
/// A and G come from memory once: weights and their sum are taken block by block of channels, while A is in
/// cache.
///
/// \param activations      A (N, C, P), any strides; fastest where the stride of p is 1.
/// \param gradients        G (T, N, C, P), the dtype of A, any strides.
/// \param grid             (N, T, P), dtype accumulator(A), stride 1 over P; every element is written.
/// \param weights          (N, T, C), stride 1 over C, or null data; null for the three product methods.
/// \param ill_conditioned  (N, T) flags as in channel_weights.h, or null; null for the three product methods.
/// \param upsampling       how `maps` is made.
/// \param maps             (N, T, map_sizes product), stride 1 over the last; ignored where mode is none.
/// \param threads          upper bound of the threads used; the bits of the result do not depend on it.
/// \return invalid_argument with the argument's name, out_of_memory, or ok. Safe to call from several
/// threads.
Status fused_cam(CamMethod method, bool relu, const View& activations, const View& gradients,
                 const MutableView& grid, const MutableView& weights, std::uint8_t* ill_conditioned,
                 const Upsampling& upsampling, const MutableView& maps, int threads) noexcept;

}  // namespace camfast
