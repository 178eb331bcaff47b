#include "camfast/linear_upsample.h"

#include "cpu/separable.h"

namespace camfast {

Status linear_upsample(const View& grid, const MutableView& maps, int threads) noexcept {
    Upsampling upsampling;
    upsampling.mode = UpsampleMode::linear;
    return cpu::upsample_views(grid, maps, upsampling, threads);
}

}  // namespace camfast
