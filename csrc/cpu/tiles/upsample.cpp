/// The passes of a separable upsampling.
#include "cpu/tiles/simd.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// Taps added in one run before the run joins the sum: keeps the rounding of long bands near that of short
/// ones.
constexpr std::int64_t kRun = 16;

template <class T>
void convert(const void* source, std::int64_t n, void* target) {
    const auto* from = static_cast<const T*>(source);
    auto* to = static_cast<Result<T>*>(target);
    std::int64_t i = 0;
    for (; i + kDoubleLanes <= n; i += kDoubleLanes) store_part(to + i, load(from + i), kDoubleLanes);
    const int rest = static_cast<int>(n - i);
    if (rest > 0) store_part(to + i, load_part(from + i, rest), rest);
}

template <class R>
void expand_line(const void* source, const std::int32_t* index, const void* weights, std::int64_t taps,
                 std::int64_t stride, std::int64_t n, void* target) {
    constexpr std::int64_t kBlock = 4 * kLanes<R>;
    const auto* line = static_cast<const R*>(source);
    const auto* weight = static_cast<const R*>(weights);
    auto* out = static_cast<R*>(target);
    for (std::int64_t x = 0; x < n; x += kBlock) {
        const std::int64_t count = n - x < kBlock ? n - x : kBlock;
        R sum[kBlock] = {};
        for (std::int64_t first = 0; first < taps; first += kRun) {
            const std::int64_t last = first + kRun < taps ? first + kRun : taps;
            R run[kBlock] = {};
            for (std::int64_t t = first; t < last; ++t) {
                const std::int32_t* cell = index + t * stride + x;
                const R* w = weight + t * stride + x;
                for (std::int64_t i = 0; i < count; ++i) run[i] += w[i] * line[cell[i]];
            }
            for (std::int64_t i = 0; i < kBlock; ++i) sum[i] += run[i];
        }
        for (std::int64_t i = 0; i < count; ++i) out[x + i] = sum[i];
    }
}

/// kVectors vectors of the result at x.
template <class R, int kVectors>
CAMFAST_INLINE void combine_at(const R* const* lines, const R* weight, std::int64_t taps, std::int64_t x,
                               R* out) {
    Vector<R> sum[kVectors] = {};
    for (std::int64_t first = 0; first < taps; first += kRun) {
        const std::int64_t last = first + kRun < taps ? first + kRun : taps;
        Vector<R> run[kVectors] = {};
        for (std::int64_t t = first; t < last; ++t)
            for (int v = 0; v < kVectors; ++v)
                run[v] += load_as<Vector<R>>(lines[t] + x + v * kLanes<R>) * weight[t];
        for (int v = 0; v < kVectors; ++v) sum[v] += run[v];
    }
    for (int v = 0; v < kVectors; ++v) store(out + x + v * kLanes<R>, sum[v]);
}

template <class R>
void combine_lines(const void* const* sources, const void* weights, std::int64_t taps, std::int64_t n,
                   void* target) {
    const auto* lines = reinterpret_cast<const R* const*>(sources);
    const auto* weight = static_cast<const R*>(weights);
    auto* out = static_cast<R*>(target);
    std::int64_t x = 0;
    for (; x + 4 * kLanes<R> <= n; x += 4 * kLanes<R>) combine_at<R, 4>(lines, weight, taps, x, out);
    for (; x + kLanes<R> <= n; x += kLanes<R>) combine_at<R, 1>(lines, weight, taps, x, out);
    for (; x < n; ++x) {
        R sum = 0;
        for (std::int64_t first = 0; first < taps; first += kRun) {
            const std::int64_t last = first + kRun < taps ? first + kRun : taps;
            R run = 0;
            for (std::int64_t t = first; t < last; ++t) run += lines[t][x] * weight[t];
            sum += run;
        }
        out[x] = sum;
    }
}

template <class T>
void fill(TileKernels& kernels) {
    kernels.convert = convert<T>;
    kernels.expand_line = expand_line<Result<T>>;
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
