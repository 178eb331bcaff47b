/// Vectors of one instruction set. Everything lives in the namespace of that set, so that no inline function
/// compiled for a newer processor can be picked by the linker for an older one; files that include this
/// header use no templates or inline functions of the standard library, for the same reason.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define CAMFAST_INLINE inline __attribute__((always_inline))
#define CAMFAST_INLINE_LAMBDA __attribute__((always_inline))

namespace camfast::cpu::CAMFAST_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

using Floats = float __attribute__((vector_size(kVectorBytes)));
using Doubles = double __attribute__((vector_size(kVectorBytes)));
constexpr int kFloatLanes = kVectorBytes / 4;
constexpr int kDoubleLanes = kVectorBytes / 8;

/// As many narrow elements as a vector holds doubles.
using FloatsHalf = float __attribute__((vector_size(kVectorBytes / 2)));
using WordsHalf = std::uint32_t __attribute__((vector_size(kVectorBytes / 2)));
using SignedWordsHalf = std::int32_t __attribute__((vector_size(kVectorBytes / 2)));
using ShortsQuarter = std::uint16_t __attribute__((vector_size(kVectorBytes / 4)));

struct BFloat16 {
    std::uint16_t bits;
};
struct Float16 {
    std::uint16_t bits;
};

/// For an element type: the type of results, and its vector.
template <class T>
struct Arithmetic {
    using Result = float;
    using Vector = Floats;
};
template <>
struct Arithmetic<double> {
    using Result = double;
    using Vector = Doubles;
};
template <class T>
using Result = typename Arithmetic<T>::Result;
template <class T>
using Vector = typename Arithmetic<T>::Vector;
template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(Result<T>));

template <class V>
CAMFAST_INLINE V load_as(const void* source) {
    V v;
    std::memcpy(&v, source, sizeof v);
    return v;
}

CAMFAST_INLINE FloatsHalf to_floats(const float* source) {
    return load_as<FloatsHalf>(source);
}

CAMFAST_INLINE FloatsHalf to_floats(const BFloat16* source) {
#if defined(__AVX512F__)
    const auto words = reinterpret_cast<WordsHalf>(_mm256_cvtepu16_epi32(load_as<__m128i>(source)));
#elif defined(__AVX2__)
    const auto words = reinterpret_cast<WordsHalf>(
        _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(source))));
#else
    const auto words = __builtin_convertvector(load_as<ShortsQuarter>(source), WordsHalf);
#endif
    return reinterpret_cast<FloatsHalf>(words << 16);
}

CAMFAST_INLINE FloatsHalf to_floats(const Float16* source) {
#if defined(__AVX512F__)
    return _mm256_cvtph_ps(load_as<__m128i>(source));
#elif defined(__F16C__)
    return _mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(source)));
#else
    const auto half = __builtin_convertvector(load_as<ShortsQuarter>(source), WordsHalf);
    const WordsHalf magnitude = half & 0x7fffu;
    const WordsHalf normal = (magnitude << 13) + (112u << 23);
    const WordsHalf special = (magnitude << 13) + (224u << 23);
    const FloatsHalf tiny =
        __builtin_convertvector(reinterpret_cast<SignedWordsHalf>(magnitude), FloatsHalf) * 0x1p-24f;
    const WordsHalf finite = magnitude < 0x400u ? reinterpret_cast<WordsHalf>(tiny) : normal;
    return reinterpret_cast<FloatsHalf>((magnitude >= 0x7c00u ? special : finite) | ((half & 0x8000u) << 16));
#endif
}

// g++ 12 takes __builtin_convertvector between vectors of different size apart into halves; the intrinsics
// are one instruction each.
CAMFAST_INLINE Doubles widen(FloatsHalf v) {
#if defined(__AVX512F__)
    return _mm512_maskz_cvtps_pd(0xff, v);
#elif defined(__AVX2__)
    return _mm256_cvtps_pd(v);
#else
    return __builtin_convertvector(v, Doubles);
#endif
}

CAMFAST_INLINE FloatsHalf narrow(Doubles v) {
#if defined(__AVX512F__)
    return _mm512_maskz_cvtpd_ps(0xff, v);
#elif defined(__AVX2__)
    return _mm256_cvtpd_ps(v);
#else
    return __builtin_convertvector(v, FloatsHalf);
#endif
}

/// kDoubleLanes elements as float64.
template <class T>
CAMFAST_INLINE Doubles load(const T* source) {
    return widen(to_floats(source));
}
CAMFAST_INLINE Doubles load(const double* source) {
    return load_as<Doubles>(source);
}

/// The first `count` of them, zeros behind.
template <class T>
CAMFAST_INLINE Doubles load_part(const T* source, int count) {
#if defined(__AVX512F__)
    const auto mask = static_cast<__mmask8>((1u << count) - 1);
    if constexpr (sizeof(T) == 8) return _mm512_maskz_loadu_pd(mask, source);
    if constexpr (sizeof(T) == 4) return widen(_mm256_maskz_loadu_ps(mask, source));
#endif
    T lanes[kDoubleLanes] = {};
    std::memcpy(lanes, source, static_cast<std::size_t>(count) * sizeof(T));
    return load(lanes);
}

/// Reads whole vectors.
struct Whole {
    static constexpr int count = kDoubleLanes;
    template <class T>
    CAMFAST_INLINE Doubles operator()(const T* source) const {
        return load(source);
    }
};

/// Reads `count` lanes, zeros behind.
struct Part {
    int count;
    template <class T>
    CAMFAST_INLINE Doubles operator()(const T* source) const {
        return load_part(source, count);
    }
};

template <class T, class V>
CAMFAST_INLINE void store(T* target, V v) {
    std::memcpy(target, &v, sizeof v);
}

/// The first `count` lanes, which may be all.
CAMFAST_INLINE void store_part(double* target, Doubles v, int count) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_pd(target, static_cast<__mmask8>((1u << count) - 1), v);
#else
    std::memcpy(target, &v, static_cast<std::size_t>(count) * sizeof(double));
#endif
}
CAMFAST_INLINE void store_part(float* target, Doubles v, int count) {
    const FloatsHalf floats = narrow(v);
#if defined(__AVX512F__)
    _mm256_mask_storeu_ps(target, static_cast<__mmask8>((1u << count) - 1), floats);
#else
    std::memcpy(target, &floats, static_cast<std::size_t>(count) * sizeof(float));
#endif
}

CAMFAST_INLINE Doubles broadcast(double value) {
    return Doubles{} + value;
}

/// max(v, 0) that keeps NaN.
CAMFAST_INLINE Doubles relu(Doubles v) {
    return v < 0 ? Doubles{} : v;
}

CAMFAST_INLINE Doubles absolute(Doubles v) {
    return v < 0 ? -v : v;
}

CAMFAST_INLINE double total(Doubles v) {
#if defined(__AVX512F__)
    const __m256d half =
        __builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7);
#elif defined(__AVX2__)
    const __m256d half = v;
#endif
#if defined(__AVX2__)
    const __m128d pair = _mm_add_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd(half, 1));
    return _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)));
#else
    return v[0] + v[1];
#endif
}

}  // namespace camfast::cpu::CAMFAST_ISA
