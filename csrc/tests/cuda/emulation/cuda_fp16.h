/// float16 of CUDA, as much as the kernels use of it.
#pragma once

#include <cmath>
#include <cstdint>

struct __half {
    std::uint16_t bits;
};

inline __half __ushort_as_half(unsigned short bits) {
    return {bits};
}
inline float __half2float(__half value) {
    const int exponent = value.bits >> 10 & 31, fraction = value.bits & 1023;
    const float magnitude = exponent == 31  ? (fraction ? std::nanf("") : INFINITY)
                            : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                            : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
    return value.bits >> 15 ? -magnitude : magnitude;
}
