/// A row of a picture: colours by the shade of each pixel, blended with the image.
#include "cpu/tiles/floats.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

constexpr std::uint32_t kMagenta = 0xff00ff;
/// A number in [0, 2^22] plus this has its nearest integer, ties to even, in the low bits.
constexpr float kRound = 0x1p23f;

CAMFAST_INLINE Words rounded_bits(Floats v) {
    return reinterpret_cast<Words>(v + kRound);
}

/// v cut to [0, high]; 0 for NaN.
CAMFAST_INLINE Floats clipped(Floats v, float high) {
    v = v > 0 ? v : Floats{};
    return v < high ? v : Floats{} + high;
}

CAMFAST_INLINE Words gathered(const std::uint32_t* table, Words index) {
#if defined(__AVX512F__)
    return reinterpret_cast<Words>(_mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xffff,
                                                               reinterpret_cast<__m512i>(index), table, 4));
#elif defined(__AVX2__)
    return reinterpret_cast<Words>(
        _mm256_i32gather_epi32(reinterpret_cast<const int*>(table), reinterpret_cast<__m256i>(index), 4));
#else
    Words found;
    for (int i = 0; i < kFloatLanes; ++i) found[i] = table[index[i]];
    return found;
#endif
}

/// Colours of kFloatLanes pixels, where the shade is no number, and where it is below the first.
struct Colors {
    Words color;
    SignedWords missing, hidden;
};

CAMFAST_INLINE Colors colors_at(const float* shade, const Paint& paint) {
    const Floats s = load_as<Floats>(shade);
    const Floats within = clipped(s, 255);
    return {gathered(paint.colors, rounded_bits(within) & 0xffu), s != s, within < paint.first_shade};
}

/// The three low bytes of each lane, side by side.
CAMFAST_INLINE void store_pixels(Words v, std::uint8_t* out) {
#if defined(__AVX2__)
    const __m128i first_three = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
#endif
#if defined(__AVX512F__)
    const __m512i packed =
        _mm512_shuffle_epi8(reinterpret_cast<__m512i>(v), _mm512_maskz_broadcast_i32x4(0xffff, first_three));
    const __m512i order = _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0, 0, 0, 0);
    _mm512_mask_storeu_epi32(out, 0x0fff, _mm512_maskz_permutexvar_epi32(0xffff, order, packed));
#elif defined(__AVX2__)
    const __m256i packed =
        _mm256_shuffle_epi8(reinterpret_cast<__m256i>(v), _mm256_broadcastsi128_si256(first_three));
    const __m256i joined = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 0, 0));
    std::memcpy(out, &joined, 3 * kFloatLanes);
#else
    for (int i = 0; i < kFloatLanes; ++i)
        for (int k = 0; k < 3; ++k) out[3 * i + k] = static_cast<std::uint8_t>(v[i] >> (8 * k));
#endif
}

/// The low byte of each lane, side by side.
CAMFAST_INLINE void store_bytes(Words v, std::uint8_t* out) {
#if defined(__AVX512F__)
    const __m128i bytes = _mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(v));
    std::memcpy(out, &bytes, sizeof bytes);
#else
    for (int i = 0; i < kFloatLanes; ++i) out[i] = static_cast<std::uint8_t>(v[i]);
#endif
}

/// The image's part of kFloatLanes numbers.
template <class T>
CAMFAST_INLINE Floats background(const T* image, const Tones& tones) {
    return clipped((load_floats(image) - tones.black) * tones.scale, tones.brightest);
}
/// Levels that differ in float64 alone should still differ.
CAMFAST_INLINE Floats background(const double* image, const Tones& tones) {
    const Doubles low = (load(image) - tones.exact_black) * tones.exact_scale;
    const Doubles high = (load(image + kDoubleLanes) - tones.exact_black) * tones.exact_scale;
    return clipped(join(narrow(low), narrow(high)), tones.brightest);
}

template <bool kHides, class T>
CAMFAST_INLINE void paint_gray_at(const float* shade, const T* image, const Paint& paint, std::uint8_t* out) {
    const Floats under = background(image, paint.under);
    const Colors colors = colors_at(shade, paint);
    const auto blended = [&](Words tone) CAMFAST_INLINE_LAMBDA {
        Floats level = to_floats(reinterpret_cast<SignedWords>(tone)) * paint.alpha + under;
        if constexpr (kHides) level = colors.hidden ? background(image, paint.bare) : level;
        return rounded_bits(level);
    };
    const Words red = blended(colors.color & 0xffu);
    const Words green = blended(colors.color >> 8 & 0xffu);
    const Words blue = blended(colors.color >> 16);
    // what stands above the low byte of red ends in the byte that is dropped
    const Words pixel = (red & 0xffu) | (green & 0xffu) << 8 | blue << 16;
    store_pixels(colors.missing ? Words{} + kMagenta : pixel, out);
}

template <bool kHides, class T>
CAMFAST_INLINE void paint_rgb_at(const float* shade, const T* image, const Paint& paint, std::uint8_t* out) {
    constexpr int kBytes = 3 * kFloatLanes;
    const Colors colors = colors_at(shade, paint);
    std::uint8_t color[kBytes], missing[kBytes], hidden[kBytes];
    store_pixels(colors.color, color);
    store_pixels(reinterpret_cast<Words>(colors.missing), missing);
    if constexpr (kHides) store_pixels(reinterpret_cast<Words>(colors.hidden), hidden);
    std::uint8_t blended[kBytes];
    for (int i = 0; i < kBytes; i += kFloatLanes) {
        Floats level = load_floats(color + i) * paint.alpha + background(image + i, paint.under);
        if constexpr (kHides) level = load_floats(hidden + i) > 0 ? background(image + i, paint.bare) : level;
        store_bytes(rounded_bits(level), blended + i);
    }
    for (int i = 0; i < kBytes; ++i)
        out[i] = missing[i] ? static_cast<std::uint8_t>(kMagenta >> 8 * (i % 3)) : blended[i];
}

/// `at` on every kFloatLanes pixels of `channels` numbers, the last of them padded.
template <class T, int channels, class At>
CAMFAST_INLINE void paint_row(const float* shade, const void* image, const Paint& paint, std::int64_t n,
                              std::uint8_t* out, At at) {
    const auto* pixels = static_cast<const T*>(image);
    std::int64_t x = 0;
    for (; x + kFloatLanes <= n; x += kFloatLanes) at(shade + x, pixels + channels * x, paint, out + 3 * x);
    if (x == n) return;
    const auto rest = static_cast<std::size_t>(n - x);
    float last_shade[kFloatLanes] = {};
    T last_pixels[channels * kFloatLanes] = {};
    std::uint8_t last_out[3 * kFloatLanes];
    std::memcpy(last_shade, shade + x, rest * sizeof(float));
    std::memcpy(last_pixels, pixels + channels * x, channels * rest * sizeof(T));
    at(last_shade, last_pixels, paint, last_out);
    std::memcpy(out + 3 * x, last_out, 3 * rest);
}

template <bool kHides, class T>
void paint_gray(const float* shade, const void* image, const Paint& paint, std::int64_t n,
                std::uint8_t* out) {
    paint_row<T, 1>(shade, image, paint, n, out,
                    [](const float* s, const T* pixels, const Paint& p, std::uint8_t* o)
                        CAMFAST_INLINE_LAMBDA { paint_gray_at<kHides>(s, pixels, p, o); });
}

template <bool kHides, class T>
void paint_rgb(const float* shade, const void* image, const Paint& paint, std::int64_t n, std::uint8_t* out) {
    paint_row<T, 3>(shade, image, paint, n, out,
                    [](const float* s, const T* pixels, const Paint& p, std::uint8_t* o)
                        CAMFAST_INLINE_LAMBDA { paint_rgb_at<kHides>(s, pixels, p, o); });
}

/// Largest shade of a finite cell: float32 still holds its products with weights.
constexpr double kLargest = 1e37;

template <class T>
void shade_line(const void* heat, double low, double scale, std::int64_t n, float* out) {
    const auto* cells = static_cast<const T*>(heat);
    for (std::int64_t i = 0; i < n; i += kLanes<T>) {
        const int count = n - i < kLanes<T> ? static_cast<int>(n - i) : kLanes<T>;
        float shades[kLanes<T>];
        float* to = shades;
        for (const Doubles cell : widen(load_part(cells + i, count)).parts) {
            Doubles shade = (cell - low) * scale;
            if (scale == 0) shade = cell == cell ? Doubles{} : cell;  // infinity too has the first colour
            const auto finite = cell - cell == 0;
            shade = finite && shade > kLargest ? broadcast(kLargest) : shade;
            shade = finite && shade < -kLargest ? broadcast(-kLargest) : shade;
            store(to, narrow(shade));
            to += kDoubleLanes;
        }
        std::memcpy(out + i, shades, static_cast<std::size_t>(count) * sizeof(float));
    }
}

template <class T>
void fill_image(TileTable& table, DType dtype) {
    table.paint[static_cast<int>(dtype)] = {{paint_gray<false, T>, paint_gray<true, T>},
                                            {paint_rgb<false, T>, paint_rgb<true, T>}};
}

template <class T>
void fill(TileTable& table, DType dtype) {
    fill_image<T>(table, dtype);
    table.kernels[static_cast<int>(dtype)].shade_line = shade_line<T>;
}

}  // namespace

void fill_overlay(TileTable& table) noexcept {
    fill<float>(table, DType::float32);
    fill<double>(table, DType::float64);
    fill<BFloat16>(table, DType::bfloat16);
    fill<Float16>(table, DType::float16);
    fill_image<std::uint8_t>(table, DType::uint8);
    fill_image<std::uint16_t>(table, DType::uint16);
}

}  // namespace camfast::cpu::CAMFAST_ISA
