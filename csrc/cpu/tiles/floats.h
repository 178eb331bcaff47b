/// Whole vectors of float32 from every element type, for loops that need no float64.
#pragma once

#include "cpu/tiles/simd.h"

namespace camfast::cpu::CAMFAST_ISA {

using Shorts = std::uint16_t __attribute__((vector_size(kVectorBytes / 2)));
using Bytes = std::uint8_t __attribute__((vector_size(kVectorBytes / 4)));

CAMFAST_INLINE Floats to_floats(SignedWords v) {
    return __builtin_convertvector(v, Floats);
}

CAMFAST_INLINE Floats join(FloatsHalf low, FloatsHalf high) {
    const FloatsHalf halves[2] = {low, high};
    return load_as<Floats>(halves);
}

/// kFloatLanes elements.
template <class T>
CAMFAST_INLINE Floats load_floats(const T* source) {
    return load(source);
}
CAMFAST_INLINE Floats load_floats(const double* source) {
    return join(narrow(load(source)), narrow(load(source + kDoubleLanes)));
}
// g++ 12 warns of the register that the intrinsics without a mask leave undefined.
CAMFAST_INLINE Floats load_floats(const std::uint16_t* source) {
#if defined(__AVX512F__)
    return to_floats(
        reinterpret_cast<SignedWords>(_mm512_maskz_cvtepu16_epi32(0xffff, load_as<__m256i>(source))));
#elif defined(__AVX2__)
    return to_floats(reinterpret_cast<SignedWords>(_mm256_cvtepu16_epi32(load_as<__m128i>(source))));
#else
    return to_floats(__builtin_convertvector(load_as<Shorts>(source), SignedWords));
#endif
}
CAMFAST_INLINE Floats load_floats(const std::uint8_t* source) {
#if defined(__AVX512F__)
    return to_floats(
        reinterpret_cast<SignedWords>(_mm512_maskz_cvtepu8_epi32(0xffff, load_as<__m128i>(source))));
#elif defined(__AVX2__)
    return to_floats(reinterpret_cast<SignedWords>(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(source)))));
#else
    return to_floats(__builtin_convertvector(load_as<Bytes>(source), SignedWords));
#endif
}

}  // namespace camfast::cpu::CAMFAST_ISA
