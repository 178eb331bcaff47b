/// One axis of a separable upsampling as a banded matrix.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "camfast/gaussian_upsample.h"
#include "camfast/view.h"

namespace camfast::cpu {

/// out[x] = sum_t weight(x, t) in[index(x, t)], with the same number of taps for every x.
struct Axis {
    std::int64_t in = 1, out = 1, taps = 1;
    bool identity = false;  ///< nothing to do; the tables are empty
    /// By x, then tap; for combining lines.
    std::vector<std::int32_t> index;
    std::vector<float> weight32;
    std::vector<double> weight64;
    /// By tap, then x; for expanding a line.
    std::vector<std::int32_t> index_by_tap;
    std::vector<float> weight32_by_tap;
    std::vector<double> weight64_by_tap;

    const void* weight(DType result, std::int64_t x) const noexcept {
        return result == DType::float64 ? static_cast<const void*>(weight64.data() + x * taps)
                                        : static_cast<const void*>(weight32.data() + x * taps);
    }
    const void* weight_by_tap(DType result, std::int64_t x) const noexcept {
        return result == DType::float64 ? static_cast<const void*>(weight64_by_tap.data() + x)
                                        : static_cast<const void*>(weight32_by_tap.data() + x);
    }
};

/// Kept for the thread's next calls where it is small. Throw std::bad_alloc.
std::shared_ptr<const Axis> linear_axis(std::int64_t in, std::int64_t out);
std::shared_ptr<const Axis> gaussian_axis(std::int64_t in, std::int64_t out, const GaussianAxis& axis,
                                          Gain gain);

}  // namespace camfast::cpu
