/// \file
/// One axis of an upsampling as a banded matrix.
#pragma once

#include <cstdint>

namespace camfast::cuda {

/// out[x] = sum_t weights[t * pixels + x] in[first[x] + t], both tables in device memory.
///
/// `first` never decreases, and every first[x] + t is a cell. `weights` has the dtype of the result. Where
/// `taps` is 0 there are no tables, and the axis stays as it is: its two sizes are equal.
struct BandView {
    const std::int32_t* first = nullptr;  ///< (pixels), the first cell that each takes from
    const void* weights = nullptr;        ///< (taps, pixels)
    std::int64_t cells = 1;               ///< along the grid's axis
    std::int64_t pixels = 1;              ///< along the map's axis
    std::int64_t taps = 0;                ///< cells that a pixel takes from, or 0
};

}  // namespace camfast::cuda
