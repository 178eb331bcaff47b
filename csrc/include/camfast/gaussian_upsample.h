/// \file
/// Gaussian upsampling: every cell sprays a Gaussian on the pixels (Kim 2020, equation 4).
#pragma once

#include <cstdint>

#include "camfast/export.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

/// How the Gaussians are normalised. The numbers are part of the Python binding.
enum class Gain : int {
    spray = 0,    ///< peak 1, as in the paper
    average = 1,  ///< divided by the weights' sum at each pixel: a constant stays constant
    mass = 2,     ///< each cell has sum 1 over the image: sums are kept
};

/// One axis: cell i is centred at `start + i * step` (pixels of the output) with a Gaussian of `sigma`
/// pixels. `sigma <= 0` leaves the axis untouched (weight 1; its two sizes must be equal).
struct GaussianAxis {
    double sigma = 0.0;  ///< width in pixels
    double start = 0.0;  ///< centre of the first cell
    double step = 1.0;   ///< from centre to centre, more than 0
};

/// The axis whose cells tile the image, which is right where every layer before them pads "same".
///
/// \param cells   along the grid's axis, more than 0.
/// \param pixels  along the map's axis.
/// \param sigma   as in GaussianAxis, in pixels of the map.
/// \return centres at (i + 1/2) pixels / cells - 1/2.
constexpr GaussianAxis tiling_axis(std::int64_t cells, std::int64_t pixels, double sigma) noexcept {
    const double step = static_cast<double>(pixels) / static_cast<double>(cells);
    return {sigma, step / 2 - 0.5, step};
}

/// maps[m, x] = sum_j grid[m, j] prod_axis exp(-(x - centre_j)^2 / (2 sigma^2)), with the gain's
/// normalisation. Cells farther than 5.5 sigma may be left out (an error below 3e-7 of the maximum).
///
/// \param grid     (M, D0, D1, D2) contiguous, any dtype; leading sizes of 1 for fewer axes.
/// \param maps     (M, O0, O1, O2) contiguous, dtype accumulator(grid); every element is written.
/// \param axes     three axes; sigma, start and step finite, step > 0.
/// \param gain     see Gain.
/// \param threads  upper bound of the threads used; the bits of the result do not depend on it.
/// \return invalid_argument with the argument's name, out_of_memory, unsupported (see
/// instruction_set_status), or ok. Safe to call from several threads at a time on outputs of their own.
CAMFAST_API Status gaussian_upsample(const View& grid, const MutableView& maps, const GaussianAxis (&axes)[3],
                                     Gain gain, int threads) noexcept;

}  // namespace camfast
