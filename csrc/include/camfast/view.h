/// \file
/// Strided arrays that somebody else owns.
#pragma once

#include <cstdint>

namespace camfast {

/// Element types; the numbers are part of the Python binding. Integers are those of images and of indices.
enum class DType : int {
    float32 = 0,   ///< float
    float64 = 1,   ///< double
    bfloat16 = 2,  ///< the upper half of a float
    float16 = 3,   ///< IEEE half precision
    uint8 = 4,     ///< std::uint8_t
    uint16 = 5,    ///< std::uint16_t
    int32 = 6,     ///< std::int32_t
    int64 = 7      ///< std::int64_t
};

/// Axes that a view may have.
constexpr int kMaxRank = 4;

/// Bytes of one element.
///
/// \param dtype  any.
/// \return 1, 2, 4 or 8; 0 for an unknown type.
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

/// Whether a type is one of those that activations, gradients and maps may have.
///
/// \param dtype  any.
/// \return true for float32, float64, bfloat16 and float16.
constexpr bool is_float(DType dtype) noexcept {
    return dtype >= DType::float32 && dtype <= DType::float16;
}

/// Type in which results come out.
///
/// \param dtype  of the input.
/// \return float64 for float64, float32 for all others.
constexpr DType accumulator(DType dtype) noexcept {
    return dtype == DType::float64 ? DType::float64 : DType::float32;
}

/// An array that a function reads. `data` is aligned to its element; `sizes` and `strides` hold `rank`
/// numbers, strides in elements (any sign, 0 repeats). `data` may be null where a size is 0.
struct View {
    const void* data = nullptr;           ///< element (0, ... 0)
    DType dtype = DType::float32;         ///< of the elements
    int rank = 0;                         ///< number of axes
    std::int64_t sizes[kMaxRank] = {};    ///< elements along each axis
    std::int64_t strides[kMaxRank] = {};  ///< from one to the next along each axis, in elements
};

/// An array that a function writes: as View, and no two indices may share an element. It must not overlap an
/// input, but where a function says so. What it holds before does not matter.
struct MutableView {
    void* data = nullptr;                 ///< element (0, ... 0)
    DType dtype = DType::float32;         ///< of the elements
    int rank = 0;                         ///< number of axes
    std::int64_t sizes[kMaxRank] = {};    ///< elements along each axis
    std::int64_t strides[kMaxRank] = {};  ///< from one to the next along each axis, in elements

    /// The same array as an input.
    ///
    /// \return a view of the same memory.
    constexpr operator View() const noexcept {
        View view{data, dtype, rank, {}, {}};
        for (int axis = 0; axis < kMaxRank; ++axis) {
            view.sizes[axis] = sizes[axis];
            view.strides[axis] = strides[axis];
        }
        return view;
    }
};

}  // namespace camfast
