/// The passes of a separable upsampling.
#include "cpu/tiles/simd.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// Cells added in one run before the run joins the sum: keeps the rounding of long bands near that of short
/// ones.
constexpr std::int64_t kRun = 32;
/// Lines that are expanded at once: as many sums as hide the latency of the processor's multiplication.
constexpr int kLinesAtOnce = kVectorBytes == 64 ? 8 : 4;

template <class T>
void convert(const void* source, std::int64_t n, void* target) {
    const auto* from = static_cast<const T*>(source);
    auto* to = static_cast<Result<T>*>(target);
    std::int64_t i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) store(to + i, load(from + i));
    const int rest = static_cast<int>(n - i);
    if (rest > 0) store_part(to + i, load_part(from + i, rest), rest);
}

/// The first `count` lanes, which may be all.
template <class R>
CAMFAST_INLINE void store_lanes(R* target, Vector<R> v, std::int64_t count) {
#if defined(__AVX512F__)
    if constexpr (sizeof(R) == 4) {
        _mm512_mask_storeu_ps(target, static_cast<__mmask16>((1u << count) - 1), v);
    } else {
        _mm512_mask_storeu_pd(target, static_cast<__mmask8>((1u << count) - 1), v);
    }
#else
    if (count == kLanes<R>)
        store(target, v);
    else
        for (std::int64_t i = 0; i < count; ++i) target[i] = v[i];
#endif
}

CAMFAST_INLINE Floats gathered(const float* line, const std::int32_t* cells) {
#if defined(__AVX512F__)
    return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), 0xffff, load_as<__m512i>(cells), line, 4);
#elif defined(__AVX2__)
    return _mm256_i32gather_ps(line, load_as<__m256i>(cells), 4);
#else
    return Floats{line[cells[0]], line[cells[1]], line[cells[2]], line[cells[3]]};
#endif
}

CAMFAST_INLINE Doubles gathered(const double* line, const std::int32_t* cells) {
#if defined(__AVX512F__)
    return _mm512_mask_i32gather_pd(_mm512_setzero_pd(), 0xff, load_as<__m256i>(cells), line, 8);
#elif defined(__AVX2__)
    return Doubles{line[cells[0]], line[cells[1]], line[cells[2]], line[cells[3]]};
#else
    return Doubles{line[cells[0]], line[cells[1]]};
#endif
}

template <class R>
void interpolate_lines(Lines lines, const Expansion& expansion, std::int64_t begin, std::int64_t end,
                       void* result) {
    const std::int32_t* const low = expansion.cells;
    const std::int32_t* const high = low + lines.out;
    const auto* weight_low = static_cast<const R*>(expansion.weight);
    const R* const weight_high = weight_low + lines.out;
    for (std::int64_t i = 0; i < lines.count; ++i) {
        const R* const line = static_cast<const R*>(lines.cells) + i * lines.in;
        R* const out = static_cast<R*>(result) + i * lines.out;
        std::int64_t x = begin;
        for (; x + kLanes<R> <= end; x += kLanes<R>)
            store(out + x, gathered(line, low + x) * load_as<Vector<R>>(weight_low + x) +
                               gathered(line, high + x) * load_as<Vector<R>>(weight_high + x));
        for (; x < end; ++x) out[x] = line[low[x]] * weight_low[x] + line[high[x]] * weight_high[x];
    }
}

/// kLines lines over the cells of a block, as one vector of pixels each.
template <class R, int kLines>
CAMFAST_INLINE void spray_at(const R* cells, std::int64_t in, const R* weight, std::int64_t window, R* out,
                             std::int64_t pitch, std::int64_t count) {
    Vector<R> sum[kLines] = {};
    for (std::int64_t first = 0; first < window; first += kRun) {
        const std::int64_t last = first + kRun < window ? first + kRun : window;
        Vector<R> run[kLines] = {};
        for (std::int64_t t = first; t < last; ++t) {
            const auto w = load_as<Vector<R>>(weight + t * kBlockPixels);
            for (int i = 0; i < kLines; ++i) run[i] += w * cells[i * in + t];
        }
        for (int i = 0; i < kLines; ++i) sum[i] += run[i];
    }
    for (int i = 0; i < kLines; ++i) store_lanes(out + i * pitch, sum[i], count);
}

template <class R>
void spray_lines(Lines lines, const Expansion& expansion, std::int64_t begin, std::int64_t end,
                 void* result) {
    const auto* weight = static_cast<const R*>(expansion.weight);
    for (std::int64_t i = 0; i < lines.count; i += kLinesAtOnce) {
        const R* const cells = static_cast<const R*>(lines.cells) + i * lines.in;
        R* const out = static_cast<R*>(result) + i * lines.out;
        for (std::int64_t x = begin; x < end; x += kLanes<R>) {
            const std::int64_t block = x / kBlockPixels, pixel = x % kBlockPixels;
            const R* const w = weight + block * expansion.window * kBlockPixels + pixel;
            const R* const from = cells + expansion.cells[block];
            const std::int64_t count = end - x < kLanes<R> ? end - x : kLanes<R>;
            if (i + kLinesAtOnce <= lines.count)
                spray_at<R, kLinesAtOnce>(from, lines.in, w, expansion.window, out + x, lines.out, count);
            else
                for (std::int64_t line = 0; line < lines.count - i; ++line)
                    spray_at<R, 1>(from + line * lines.in, lines.in, w, expansion.window,
                                   out + line * lines.out + x, lines.out, count);
        }
    }
}

#if defined(__x86_64__)
constexpr bool kCanStream = true;
CAMFAST_INLINE void finish_streaming() {
    _mm_sfence();
}
#else
constexpr bool kCanStream = false;
CAMFAST_INLINE void finish_streaming() {}
#endif

template <bool kStream, class R>
CAMFAST_INLINE void write(R* target, Vector<R> v) {
#if defined(__x86_64__)
    if constexpr (kStream) {
#if defined(__AVX512F__)
        _mm512_stream_si512(reinterpret_cast<__m512i*>(target), reinterpret_cast<__m512i>(v));
#elif defined(__AVX2__)
        _mm256_stream_si256(reinterpret_cast<__m256i*>(target), reinterpret_cast<__m256i>(v));
#else
        _mm_stream_si128(reinterpret_cast<__m128i*>(target), reinterpret_cast<__m128i>(v));
#endif
        return;
    }
#endif
    store(target, v);
}

/// kVectors vectors of kRows rows at x.
template <class R, int kRows, int kVectors, bool kStream>
CAMFAST_INLINE void combine_at(const R* const* lines, const R* weight, std::int64_t window, std::int64_t x,
                               R* out, std::int64_t pitch) {
    Vector<R> sum[kRows][kVectors] = {};
    for (std::int64_t t = 0; t < window; ++t)
        for (int v = 0; v < kVectors; ++v) {
            const auto cells = load_as<Vector<R>>(lines[t] + x + v * kLanes<R>);
            for (int r = 0; r < kRows; ++r) sum[r][v] += cells * weight[t * kGroupRows + r];
        }
    for (int r = 0; r < kRows; ++r)
        for (int v = 0; v < kVectors; ++v) write<kStream>(out + r * pitch + x + v * kLanes<R>, sum[r][v]);
}

/// The same for windows of more than one run.
template <class R, int kRows, bool kStream>
CAMFAST_INLINE void combine_runs_at(const R* const* lines, const R* weight, std::int64_t window,
                                    std::int64_t x, R* out, std::int64_t pitch) {
    Vector<R> sum[kRows] = {};
    for (std::int64_t first = 0; first < window; first += kRun) {
        const std::int64_t last = first + kRun < window ? first + kRun : window;
        Vector<R> run[kRows] = {};
        for (std::int64_t t = first; t < last; ++t) {
            const auto cells = load_as<Vector<R>>(lines[t] + x);
            for (int r = 0; r < kRows; ++r) run[r] += cells * weight[t * kGroupRows + r];
        }
        for (int r = 0; r < kRows; ++r) sum[r] += run[r];
    }
    for (int r = 0; r < kRows; ++r) write<kStream>(out + r * pitch + x, sum[r]);
}

/// Elements too few for a vector.
template <class R, int kRows>
void combine_few(const R* const* lines, const R* weight, std::int64_t window, std::int64_t n, R* out,
                 std::int64_t pitch) {
    for (int r = 0; r < kRows; ++r)
        for (std::int64_t x = 0; x < n; ++x) {
            R sum = 0;
            for (std::int64_t first = 0; first < window; first += kRun) {
                const std::int64_t last = first + kRun < window ? first + kRun : window;
                R run = 0;
                for (std::int64_t t = first; t < last; ++t) run += lines[t][x] * weight[t * kGroupRows + r];
                sum += run;
            }
            out[r * pitch + x] = sum;
        }
}

template <class R, int kRows, bool kStream>
void combine_rows(const R* const* lines, const R* weight, std::int64_t window, std::int64_t n, R* out,
                  std::int64_t pitch) {
    constexpr std::int64_t kStep = kLanes<R>;
    constexpr int kVectors = kVectorBytes == 64 ? 4 : 2;
    std::int64_t x = 0;
    if (window > kRun) {
        for (; x + kStep <= n; x += kStep)
            combine_runs_at<R, kRows, kStream>(lines, weight, window, x, out, pitch);
        // what is left overlaps what was written: the same numbers once more
        if (x < n) combine_runs_at<R, kRows, false>(lines, weight, window, n - kStep, out, pitch);
        return;
    }
    for (; x + kVectors * kStep <= n; x += kVectors * kStep)
        combine_at<R, kRows, kVectors, kStream>(lines, weight, window, x, out, pitch);
    if (kVectors > 2 && x + 2 * kStep <= n) {
        combine_at<R, kRows, 2, kStream>(lines, weight, window, x, out, pitch);
        x += 2 * kStep;
    }
    for (; x + kStep <= n; x += kStep) combine_at<R, kRows, 1, kStream>(lines, weight, window, x, out, pitch);
    if (x < n) combine_at<R, kRows, 1, false>(lines, weight, window, n - kStep, out, pitch);
}

template <class R, int kRows>
void combine(const R* const* lines, const R* weight, std::int64_t window, std::int64_t n, Rows out) {
    auto* const data = static_cast<R*>(out.data);
    constexpr auto kAligned = static_cast<std::int64_t>(kVectorBytes / sizeof(R));
    if (n < kLanes<R>)
        combine_few<R, kRows>(lines, weight, window, n, data, out.pitch);
    else if (kCanStream && out.stream && out.pitch % kAligned == 0 &&
             reinterpret_cast<std::uintptr_t>(data) % kVectorBytes == 0) {
        combine_rows<R, kRows, true>(lines, weight, window, n, data, out.pitch);
        finish_streaming();
    } else {
        combine_rows<R, kRows, false>(lines, weight, window, n, data, out.pitch);
    }
}

template <class R>
void combine_lines(const void* const* sources, const void* weights, std::int64_t window, int rows,
                   std::int64_t n, Rows out) {
    static_assert(kGroupRows == 4);
    const auto* lines = reinterpret_cast<const R* const*>(sources);
    const auto* weight = static_cast<const R*>(weights);
    switch (rows) {
        case 1: return combine<R, 1>(lines, weight, window, n, out);
        case 2: return combine<R, 2>(lines, weight, window, n, out);
        case 3: return combine<R, 3>(lines, weight, window, n, out);
        default: return combine<R, 4>(lines, weight, window, n, out);
    }
}

template <class T>
void fill(TileKernels& kernels) {
    kernels.convert = convert<T>;
    kernels.expand_lines[static_cast<int>(LineKind::linear)] = interpolate_lines<Result<T>>;
    kernels.expand_lines[static_cast<int>(LineKind::gaussian)] = spray_lines<Result<T>>;
    kernels.combine_lines = combine_lines<Result<T>>;
}

}  // namespace

void fill_upsample(TileTable& table) noexcept {
    fill<float>(table.kernels[static_cast<int>(DType::float32)]);
    fill<double>(table.kernels[static_cast<int>(DType::float64)]);
    fill<BFloat16>(table.kernels[static_cast<int>(DType::bfloat16)]);
    fill<Float16>(table.kernels[static_cast<int>(DType::float16)]);
}

}  // namespace camfast::cpu::CAMFAST_ISA
