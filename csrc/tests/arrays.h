/// Arrays for the tests: values as an element type rounds them, laid out with any strides, next to their
/// float64 twins.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "camfast/view.h"

namespace camfast::testing {

using Int = std::int64_t;

inline const char* name_of(DType dtype) {
    constexpr const char* kNames[] = {"float32", "float64", "bfloat16", "float16"};
    return kNames[static_cast<int>(dtype)];
}

/// Bits of `value` as the type, and what they stand for. The half types take few significant bits, so that no
/// rounding is needed here.
inline double encode(DType dtype, double value, char* bits) {
    if (dtype == DType::float64) {
        std::memcpy(bits, &value, 8);
        return value;
    }
    auto single = static_cast<float>(value);
    if (dtype == DType::float32) {
        std::memcpy(bits, &single, 4);
        return static_cast<double>(single);
    }
    const double coarse = std::round(value * 64) / 64;  // |value| < 4: at most 8 significant bits
    single = static_cast<float>(coarse);
    std::uint32_t word;
    std::memcpy(&word, &single, 4);
    std::uint32_t half = word >> 16;
    if (dtype == DType::float16)
        half = word == 0 || word == 0x80000000u
                   ? word >> 16
                   : (word >> 16 & 0x8000u) | ((word & 0x7fffffffu) - (112u << 23)) >> 13;
    const auto narrow = static_cast<std::uint16_t>(half);
    std::memcpy(bits, &narrow, 2);
    return coarse;
}

enum class Layout { contiguous, channels_last, sliced, expanded };

/// Four axes (T, N, C, P), or three with T = 1; `values` is contiguous.
struct Array {
    Array(DType dtype, Layout layout, Int t, Int n, Int c, Int p, double low, double high, unsigned seed)
        : dtype(dtype), sizes{t, n, c, p}, values(static_cast<std::size_t>(t * n * c * p)) {
        Int last = p, step = 1;
        if (layout == Layout::sliced) last = 2 * p + 3, step = 2;
        if (layout == Layout::channels_last) {
            strides[2] = 1;
            strides[3] = c;
        } else {
            strides[2] = last;
            strides[3] = step;
        }
        if (layout == Layout::expanded) strides[3] = 0;
        strides[1] = c * last;
        strides[0] = n * strides[1];
        const Int size = element_size(dtype);
        storage.resize(static_cast<std::size_t>((t * strides[0] + 1) * size));
        std::mt19937 generator(seed);
        std::uniform_real_distribution<double> uniform(low, high);
        for (Int i = 0; i < t * n * c; ++i)
            for (Int j = 0; j < p; ++j) {
                const Int it = i / c / n, in = i / c % n, ic = i % c;
                char* const bits = &storage[static_cast<std::size_t>(
                    (it * strides[0] + in * strides[1] + ic * strides[2] + j * strides[3]) * size)];
                auto& value = values[static_cast<std::size_t>(i * p + j)];
                value = layout == Layout::expanded && j > 0 ? values[static_cast<std::size_t>(i * p)]
                                                            : encode(dtype, uniform(generator), bits);
            }
    }

    double at(Int t, Int n, Int c, Int p) const {
        return values[static_cast<std::size_t>(((t * sizes[1] + n) * sizes[2] + c) * sizes[3] + p)];
    }
    View view3() const {
        return {
            storage.data(), dtype, 3, {sizes[1], sizes[2], sizes[3]}, {strides[1], strides[2], strides[3]}};
    }
    View view4() const {
        return {storage.data(),
                dtype,
                4,
                {sizes[0], sizes[1], sizes[2], sizes[3]},
                {strides[0], strides[1], strides[2], strides[3]}};
    }

    DType dtype;
    Int sizes[4];
    Int strides[4];
    std::vector<char> storage;
    std::vector<double> values;
};

/// (N, T, last) output of result type, filled with NaN, with a gap behind every row.
struct Result {
    Result(DType dtype, Int n, Int t, Int last)
        : dtype(accumulator(dtype)),
          n(n),
          t(t),
          last(last),
          row(last + 3),
          storage(static_cast<std::size_t>(n * t * row + 1) * 8) {
        for (std::size_t i = 0; i < storage.size() / 8; ++i) {
            const double nan = std::numeric_limits<double>::quiet_NaN();
            const float nan32 = std::numeric_limits<float>::quiet_NaN();
            if (this->dtype == DType::float64)
                std::memcpy(&storage[8 * i], &nan, 8);
            else
                for (std::size_t half = 0; half < 2; ++half)
                    std::memcpy(&storage[8 * i + 4 * half], &nan32, 4);
        }
    }

    MutableView view() { return {storage.data(), dtype, 3, {n, t, last}, {t * row, row, 1}}; }

    double operator()(Int in, Int it, Int i) const {
        const auto at = static_cast<std::size_t>((in * t + it) * row + i);
        if (dtype == DType::float64) {
            double value;
            std::memcpy(&value, &storage[8 * at], 8);
            return value;
        }
        float value;
        std::memcpy(&value, &storage[4 * at], 4);
        return static_cast<double>(value);
    }

    /// ||this - reference|| / ||reference||; NaN where an element was not written.
    template <class Reference>
    double error(Reference reference) const {
        double difference = 0, norm = 0;
        for (Int in = 0; in < n; ++in)
            for (Int it = 0; it < t; ++it)
                for (Int i = 0; i < last; ++i) {
                    const double expected = reference(in, it, i);
                    difference += std::pow((*this)(in, it, i) - expected, 2);
                    norm += expected * expected;
                }
        return difference == 0 ? 0 : std::sqrt(difference / norm);
    }

    DType dtype;
    Int n, t, last, row;
    std::vector<char> storage;
};

/// Relative to the whole output; float32 results round once.
inline double tolerance(DType dtype) {
    return dtype == DType::float64 ? 1e-13 : 3e-7;
}

}  // namespace camfast::testing
