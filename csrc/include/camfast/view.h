/// Strided arrays that somebody else owns.
#pragma once

#include <cstdint>

namespace camfast {

/// Element types; the numbers are part of the Python binding.
enum class DType : int { float32 = 0, float64 = 1, bfloat16 = 2, float16 = 3 };

constexpr int kMaxRank = 4;

/// Bytes of one element, 0 for an unknown type.
constexpr std::int64_t element_size(DType dtype) noexcept {
    return dtype == DType::float32                               ? 4
           : dtype == DType::float64                             ? 8
           : dtype == DType::bfloat16 || dtype == DType::float16 ? 2
                                                                 : 0;
}

/// Type in which results come out: float64 for float64, float32 for all others.
constexpr DType accumulator(DType dtype) noexcept {
    return dtype == DType::float64 ? DType::float64 : DType::float32;
}

/// An input. `data` is aligned to its element; `sizes` and `strides` hold `rank` numbers, strides in elements
/// (any sign, 0 repeats). `data` may be null where a size is 0.
struct View {
    const void* data = nullptr;
    DType dtype = DType::float32;
    int rank = 0;
    std::int64_t sizes[kMaxRank] = {};
    std::int64_t strides[kMaxRank] = {};
};

/// An output: as View, and no two indices may share an element. It must not overlap an input.
struct MutableView {
    void* data = nullptr;
    DType dtype = DType::float32;
    int rank = 0;
    std::int64_t sizes[kMaxRank] = {};
    std::int64_t strides[kMaxRank] = {};
};

}  // namespace camfast
