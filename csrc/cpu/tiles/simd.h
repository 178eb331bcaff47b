/// Vectors of one instruction set. Everything lives in the namespace of that set, so that no inline function
/// compiled for a newer processor can be picked by the linker for an older one; files that include this
/// header use no templates or inline functions of the standard library, for the same reason.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
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
using Words = std::uint32_t __attribute__((vector_size(kVectorBytes)));
using SignedWords = std::int32_t __attribute__((vector_size(kVectorBytes)));
using LongWords = std::uint64_t __attribute__((vector_size(kVectorBytes)));
constexpr int kFloatLanes = kVectorBytes / 4;
constexpr int kDoubleLanes = kVectorBytes / 8;

/// As many narrow elements as a vector holds floats, and as it holds doubles.
using ShortsHalf = std::uint16_t __attribute__((vector_size(kVectorBytes / 2)));
using FloatsHalf = float __attribute__((vector_size(kVectorBytes / 2)));
using SignedWordsHalf = std::int32_t __attribute__((vector_size(kVectorBytes / 2)));

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

/// kLanes<T> elements in the type of results.
CAMFAST_INLINE Doubles load(const double* source) {
    return load_as<Doubles>(source);
}
CAMFAST_INLINE Floats load(const float* source) {
    return load_as<Floats>(source);
}
CAMFAST_INLINE Floats load(const BFloat16* source) {
#if defined(__AVX512F__)
    const auto words = reinterpret_cast<Words>(_mm512_maskz_cvtepu16_epi32(0xffff, load_as<__m256i>(source)));
#elif defined(__AVX2__)
    const auto words = reinterpret_cast<Words>(_mm256_cvtepu16_epi32(load_as<__m128i>(source)));
#else
    const auto words = __builtin_convertvector(load_as<ShortsHalf>(source), Words);
#endif
    return reinterpret_cast<Floats>(words << 16);
}
CAMFAST_INLINE Floats load(const Float16* source) {
#if defined(__AVX512F__)
    return _mm512_maskz_cvtph_ps(0xffff, load_as<__m256i>(source));
#elif defined(__F16C__)
    return _mm256_cvtph_ps(load_as<__m128i>(source));
#elif defined(__aarch64__)
    return vcvt_f32_f16(load_as<float16x4_t>(source));
#else
    const auto half = __builtin_convertvector(load_as<ShortsHalf>(source), Words);
    const Words magnitude = half & 0x7fffu;
    const Words normal = (magnitude << 13) + (112u << 23);
    const Words special = (magnitude << 13) + (224u << 23);
    const Floats tiny = __builtin_convertvector(reinterpret_cast<SignedWords>(magnitude), Floats) * 0x1p-24f;
    const Words finite = magnitude < 0x400u ? reinterpret_cast<Words>(tiny) : normal;
    return reinterpret_cast<Floats>((magnitude >= 0x7c00u ? special : finite) | ((half & 0x8000u) << 16));
#endif
}

/// The first `count` of them, zeros behind.
template <class T>
CAMFAST_INLINE Vector<T> load_part(const T* source, int count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 8)
        return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1), source);
    if constexpr (sizeof(T) == 4)
        return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), source);
#endif
    T lanes[kLanes<T>] = {};
    std::memcpy(lanes, source, static_cast<std::size_t>(count) * sizeof(T));
    return load(lanes);
}

/// Reads whole vectors.
template <class T>
struct Whole {
    static constexpr int count = kLanes<T>;
    template <class U>
    CAMFAST_INLINE Vector<U> operator()(const U* source) const {
        static_assert(kLanes<U> == count);
        return load(source);
    }
};

/// Reads `count` lanes, zeros behind.
template <class T>
struct Part {
    int count;
    template <class U>
    CAMFAST_INLINE Vector<U> operator()(const U* source) const {
        static_assert(kLanes<U> == kLanes<T>);
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
CAMFAST_INLINE void store_part(float* target, Floats v, int count) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(target, static_cast<__mmask16>((1u << count) - 1), v);
#else
    std::memcpy(target, &v, static_cast<std::size_t>(count) * sizeof(float));
#endif
}

#if defined(__AVX512F__)
CAMFAST_INLINE FloatsHalf low_half(Floats v) {
    return __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
}
CAMFAST_INLINE FloatsHalf high_half(Floats v) {
    return __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
}
#endif

/// As many float64 numbers as a vector of results has lanes.
template <class R>
struct Wide {
    Doubles parts[kLanes<R> / kDoubleLanes];
};

CAMFAST_INLINE Wide<double> widen(Doubles v) {
    return {{v}};
}
// g++ 12 takes __builtin_convertvector between vectors of different size apart; the intrinsics are one
// instruction for each half, and those with a mask that is full draw no warnings.
CAMFAST_INLINE Wide<float> widen(Floats v) {
#if defined(__AVX512F__)
    return {{_mm512_maskz_cvtps_pd(0xff, low_half(v)), _mm512_maskz_cvtps_pd(0xff, high_half(v))}};
#elif defined(__AVX2__)
    return {{_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))}};
#elif defined(__SSE2__)
    return {{_mm_cvtps_pd(v), _mm_cvtps_pd(_mm_movehl_ps(v, v))}};
#else
    return {{__builtin_convertvector(__builtin_shufflevector(v, v, 0, 1), Doubles),
             __builtin_convertvector(__builtin_shufflevector(v, v, 2, 3), Doubles)}};
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
CAMFAST_INLINE Doubles narrow(Wide<double> v) {
    return v.parts[0];
}
CAMFAST_INLINE Floats narrow(Wide<float> v) {
#if defined(__AVX512F__)
    return __builtin_shufflevector(narrow(v.parts[0]), narrow(v.parts[1]), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
                                   11, 12, 13, 14, 15);
#elif defined(__AVX2__)
    return _mm256_set_m128(narrow(v.parts[1]), narrow(v.parts[0]));
#elif defined(__SSE2__)
    return _mm_movelh_ps(_mm_cvtpd_ps(v.parts[0]), _mm_cvtpd_ps(v.parts[1]));
#else
    return __builtin_shufflevector(narrow(v.parts[0]), narrow(v.parts[1]), 0, 1, 2, 3);
#endif
}

template <class R>
CAMFAST_INLINE Wide<R> load_wide(const double* source) {
    Wide<R> v;
    std::memcpy(&v, source, sizeof v);
    return v;
}

template <class R>
CAMFAST_INLINE void add(Wide<R>& sum, Wide<R> v) {
    for (int i = 0; i < kLanes<R> / kDoubleLanes; ++i) sum.parts[i] += v.parts[i];
}

CAMFAST_INLINE Doubles broadcast(double value) {
    return Doubles{} + value;
}

/// a < b ? a : b; g++ 12 makes two instructions of that for AVX-512.
template <class V>
CAMFAST_INLINE V lesser(V a, V b) {
#if defined(__AVX512F__)
    if constexpr (sizeof(V{}[0]) == 4) return _mm512_maskz_min_ps(0xffff, a, b);
    if constexpr (sizeof(V{}[0]) == 8) return _mm512_maskz_min_pd(0xff, a, b);
#endif
    return a < b ? a : b;
}

/// max(v, 0) that keeps NaN.
template <class V>
CAMFAST_INLINE V relu(V v) {
#if defined(__AVX512F__)
    if constexpr (sizeof(V{}[0]) == 4) return _mm512_maskz_max_ps(0xffff, V{}, v);
    if constexpr (sizeof(V{}[0]) == 8) return _mm512_maskz_max_pd(0xff, V{}, v);
#endif
    return v < 0 ? V{} : v;
}

CAMFAST_INLINE Doubles absolute(Doubles v) {
    return reinterpret_cast<Doubles>(reinterpret_cast<LongWords>(v) & (~std::uint64_t{0} >> 1));
}
CAMFAST_INLINE Floats absolute(Floats v) {
    return reinterpret_cast<Floats>(reinterpret_cast<Words>(v) & 0x7fffffffu);
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
/// Four sums that add up to that of the lanes.
using Quad = float __attribute__((vector_size(16)));
CAMFAST_INLINE Quad fold(Floats v) {
#if defined(__AVX512F__)
    const __m256 half = _mm256_add_ps(low_half(v), high_half(v));
#elif defined(__AVX2__)
    const __m256 half = v;
#endif
#if defined(__AVX2__)
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
#else
    return v;
#endif
}
template <class R>
CAMFAST_INLINE double total(Wide<R> v) {
    for (int i = 1; i < kLanes<R> / kDoubleLanes; ++i) v.parts[0] += v.parts[i];
    return total(v.parts[0]);
}

}  // namespace camfast::cpu::CAMFAST_ISA
