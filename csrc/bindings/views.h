/// From Python's integers to the C++ API's views, and from its statuses to Python's exceptions.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <new>
#include <string>

#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast::bindings {

using Int = std::int64_t;
using Address = std::uintptr_t;

inline std::string sentence(const Status& status) {
    return std::string(status.argument) + ": " + status.message;
}

inline void raise_unless_ok(const Status& status) {
    switch (status.code) {
        case StatusCode::ok: return;
        case StatusCode::out_of_memory: throw std::bad_alloc();
        case StatusCode::unsupported:
        case StatusCode::device_error: throw std::runtime_error(sentence(status));
        case StatusCode::invalid_argument: break;
    }
    throw pybind11::value_error(sentence(status));
}

/// A product modulo 2^64: sizes whose product is no 64-bit number are refused by the function that gets them.
template <class... Ints>
constexpr Int times(Ints... sizes) {
    return static_cast<Int>((std::uint64_t{1} * ... * static_cast<std::uint64_t>(sizes)));
}

/// Elements of activations and gradients.
constexpr Int of_pair(Int t, Int n, Int c, Int p) {
    return times(static_cast<std::uint64_t>(t) + 1, n, c, p);
}

inline const void* pointer(Address address) {
    return reinterpret_cast<const void*>(address);
}
inline void* mutable_pointer(Address address) {
    return reinterpret_cast<void*>(address);
}

inline DType results(int dtype) {
    return accumulator(static_cast<DType>(dtype));
}

inline View activations(int dtype, Int n, Int c, Int p, Address a, Int sn, Int sc, Int sp) {
    return {pointer(a), static_cast<DType>(dtype), 3, {n, c, p}, {sn, sc, sp}};
}

inline View gradients(int dtype, Int t, Int n, Int c, Int p, Address g, Int st, Int sn, Int sc, Int sp) {
    return {pointer(g), static_cast<DType>(dtype), 4, {t, n, c, p}, {st, sn, sc, sp}};
}

inline MutableView output(int dtype, Int n, Int t, Int last, Address out, Int sn, Int st) {
    return {mutable_pointer(out), results(dtype), 3, {n, t, last}, {sn, st, 1}};
}

/// (M, a, b, c) contiguous.
template <class AnyView, class Pointer>
AnyView maps_view(Pointer data, DType dtype, Int m, Int a, Int b, Int c) {
    return {data, dtype, 4, {m, a, b, c}, {times(a, b, c), times(b, c), c, 1}};
}

}  // namespace camfast::bindings
