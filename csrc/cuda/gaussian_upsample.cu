#include "camfast/cuda/gaussian_upsample.h"
#include "cuda/separable.h"

namespace camfast::cuda {

Status gaussian_upsample(const View& grid, const MutableView& maps, const BandView (&bands)[3],
                         const Stream& stream) noexcept {
    return upsample_views("gaussian_upsample", grid, maps, bands, stream);
}

}  // namespace camfast::cuda
