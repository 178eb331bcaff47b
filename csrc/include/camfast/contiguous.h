/// \file
/// Views of arrays that lie in memory row by row, without gaps.
#pragma once

#include <cstdint>
#include <type_traits>

#include "camfast/view.h"

namespace camfast {

namespace detail {

template <class Element>
constexpr DType dtype_of() noexcept {
    constexpr bool is_whole = std::is_integral<Element>::value && !std::is_same<Element, bool>::value;
    constexpr bool is_signed = std::is_signed<Element>::value;
    static_assert(
        std::is_same<Element, float>::value || std::is_same<Element, double>::value ||
            (is_whole && (is_signed ? sizeof(Element) >= 4 : sizeof(Element) <= 2)),
        "camfast has float, double, uint8, uint16, int32 and int64 under the types of C++; for halves give "
        "the DType first: contiguous(camfast::DType::float16, pointer, sizes...)");
    if (std::is_same<Element, float>::value) return DType::float32;
    if (std::is_same<Element, double>::value) return DType::float64;
    if (is_signed) return sizeof(Element) == 4 ? DType::int32 : DType::int64;
    return sizeof(Element) == 1 ? DType::uint8 : DType::uint16;
}

template <class AnyView, class Pointer, class... Sizes>
constexpr AnyView contiguous(DType dtype, Pointer data, Sizes... sizes) noexcept {
    static_assert(sizeof...(Sizes) >= 1 && sizeof...(Sizes) <= kMaxRank, "a view has one to four axes");
    static_assert((std::is_integral<Sizes>::value && ...), "sizes are whole numbers");
    AnyView view{data, dtype, static_cast<int>(sizeof...(Sizes)), {static_cast<std::int64_t>(sizes)...}, {}};
    // unsigned: sizes whose product is no 64-bit number are refused by the functions, or stand beside a 0
    std::uint64_t stride = 1;
    for (int axis = view.rank - 1; axis >= 0; --axis) {
        view.strides[axis] = static_cast<std::int64_t>(stride);
        stride *= static_cast<std::uint64_t>(view.sizes[axis]);
    }
    return view;
}

}  // namespace detail

/// An input whose elements lie row by row, the last axis fastest.
///
/// \param data   the first element, of a type of DType that C++ has; may be null where a size is 0.
/// \param sizes  of one to four axes, any integers.
/// \return the view; nothing is copied.
template <class Element, class... Sizes>
constexpr View contiguous(const Element* data, Sizes... sizes) noexcept {
    return detail::contiguous<View>(detail::dtype_of<Element>(), data, sizes...);
}

/// The same of memory that may be written: an output, and an input as well, as a MutableView turns into a
/// View.
///
/// \param data   the first element, of a type of DType that C++ has; may be null where a size is 0.
/// \param sizes  of one to four axes, any integers.
/// \return the view; nothing is copied.
template <class Element, class... Sizes>
constexpr MutableView contiguous(Element* data, Sizes... sizes) noexcept {
    return detail::contiguous<MutableView>(detail::dtype_of<Element>(), data, sizes...);
}

/// The same of elements that C++ has no type for, or that lie in raw memory.
///
/// \param dtype  type of the elements.
/// \param data   the first element; may be null where a size is 0.
/// \param sizes  of one to four axes, any integers.
/// \return the view; nothing is copied.
template <class... Sizes>
constexpr View contiguous(DType dtype, const void* data, Sizes... sizes) noexcept {
    return detail::contiguous<View>(dtype, data, sizes...);
}

/// The same of elements that C++ has no type for, or that lie in raw memory which may be written.
///
/// \param dtype  type of the elements.
/// \param data   the first element; may be null where a size is 0.
/// \param sizes  of one to four axes, any integers.
/// \return the view; nothing is copied.
template <class... Sizes>
constexpr MutableView contiguous(DType dtype, void* data, Sizes... sizes) noexcept {
    return detail::contiguous<MutableView>(dtype, data, sizes...);
}

}  // namespace camfast
