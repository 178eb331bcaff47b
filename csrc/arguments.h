/// Checks of arguments that the functions of every processor share.
#pragma once

#include <algorithm>
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

/// Rank, sizes and address of an array.
Status check_shape(const char* name, const View& view, int rank) noexcept;

/// The same for an input, whose dtype is a float.
Status check_input(const char* name, const View& view, int rank) noexcept;

/// `name`: (first, second, last) of dtype accumulator(`dtype`), stride 1 over the last.
Status check_output(const char* name, const MutableView& view, DType dtype,
                    const std::int64_t (&sizes)[3]) noexcept;

/// A (N, C, P), and G (T, N, C, P) of the same dtype where it is not null.
Status check_pair(const View& activations, const View* gradients, std::int64_t targets) noexcept;

/// An output as something to be checked.
inline View as_input(const MutableView& view) noexcept {
    View input{view.data, view.dtype, view.rank, {}, {}};
    std::copy_n(view.sizes, kMaxRank, input.sizes);
    std::copy_n(view.strides, kMaxRank, input.strides);
    return input;
}

}  // namespace camfast
