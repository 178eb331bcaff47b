/// Checks of arguments that the functions of every processor share.
#pragma once

#include <cstdint>

#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast {

inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) noexcept {
    return (a + b - 1) / b;
}

constexpr Status invalid(const char* argument, const char* message) noexcept {
    return {StatusCode::invalid_argument, argument, message};
}

/// The product of three sizes, none of them negative, or -1 where it is no 64-bit number.
std::int64_t product(const std::int64_t (&sizes)[3]) noexcept;

/// Rank, sizes and address of an array.
Status check_shape(const char* name, const View& view, int rank) noexcept;

/// The same for an input, whose dtype is a float.
Status check_input(const char* name, const View& view, int rank) noexcept;

/// Whether the axes from `first` on lie in memory row by row without gaps, as a function takes them that does
/// not read their strides.
Status check_contiguous(const char* name, const View& view, int first = 0) noexcept;

/// `name`: (first, second, last) of dtype accumulator(`dtype`), stride 1 over the last.
Status check_output(const char* name, const MutableView& view, DType dtype,
                    const std::int64_t (&sizes)[3]) noexcept;

/// A (N, C, P), and G (T, N, C, P) of the same dtype where it is not null.
Status check_pair(const View& activations, const View* gradients, std::int64_t targets) noexcept;

}  // namespace camfast
