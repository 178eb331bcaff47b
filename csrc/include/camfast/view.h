/// Strided arrays that somebody else owns.
#pragma once

#include <cstdint>

namespace camfast {

/// Element types; the numbers are part of the Python binding. Integers are those of images and of indices.
enum class DType : int {
    float32 = 0,
    float64 = 1,
    bfloat16 = 2,
    float16 = 3,
    uint8 = 4,
    uint16 = 5,
    int32 = 6,
    int64 = 7
};

constexpr int kMaxRank = 4;

/// Bytes of one element, 0 for an unknown type.
constexpr std::int64_t element_size(DType dtype) noexcept {
    switch (dtype) {
        case DType::float64:
        case DType::int64: return 8;
        case DType::float32:
        case DType::int32: return 4;
        case DType::bfloat16:
        case DType::float16:
        case DType::uint16: return 2;
        case DType::uint8: return 1;
    }
    return 0;
}

constexpr bool is_float(DType dtype) noexcept {
    return dtype >= DType::float32 && dtype <= DType::float16;
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
