#include "camfast/gaussian_upsample.h"

#include <algorithm>

#include "cpu/separable.h"

namespace camfast {

Status gaussian_upsample(const View& grid, const MutableView& maps, const GaussianAxis (&axes)[3], Gain gain,
                         int threads) noexcept {
    Upsampling upsampling;
    upsampling.mode = UpsampleMode::gaussian;
    std::copy_n(axes, 3, upsampling.axes);
    upsampling.gain = gain;
    return cpu::upsample_views(grid, maps, upsampling, threads);
}

}  // namespace camfast
