/// Lines of a picture added up with weights, and one line resampled.
#include "cpu/tiles/floats.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// Pixels of a line that are summed at the same time, as each sum alone would wait for itself.
constexpr int kPixels = 8;

template <class T>
CAMFAST_INLINE Floats weighted(const T* const* lines, const float* weights, std::int64_t count,
                               std::int64_t x) {
    Floats sum = load_floats(lines[0] + x) * weights[0];
    for (std::int64_t k = 1; k < count; ++k) sum += load_floats(lines[k] + x) * weights[k];
    return sum;
}

template <class T>
void combine(const void* const* lines, const float* weights, std::int64_t count, std::int64_t n, float* out) {
    const auto* const* const rows = reinterpret_cast<const T* const*>(lines);
    std::int64_t x = 0;
    for (; x + kFloatLanes <= n; x += kFloatLanes) store(out + x, weighted(rows, weights, count, x));
    if (x == n) return;
    const auto rest = static_cast<std::size_t>(n - x);
    Floats sum{};
    for (std::int64_t k = 0; k < count; ++k) {
        T last[kFloatLanes] = {};
        std::memcpy(last, rows[k] + x, rest * sizeof(T));
        sum += load_floats(last) * weights[k];
    }
    std::memcpy(out + x, &sum, rest * sizeof(float));
}

/// out[i] = sum_k weights[i * taps + k] line[(first[i] + k) * step]
void gather(const float* line, std::int64_t step, const std::int32_t* first, const float* weights,
            std::int64_t taps, std::int64_t n, float* out) {
    std::int64_t i = 0;
    for (; i + kPixels <= n; i += kPixels) {
        float sums[kPixels] = {};
        const float* places[kPixels];
        for (int p = 0; p < kPixels; ++p) places[p] = line + first[i + p] * step;
        const float* const factors = weights + i * taps;
        for (std::int64_t k = 0; k < taps; ++k)
            for (int p = 0; p < kPixels; ++p) sums[p] += factors[p * taps + k] * places[p][k * step];
        for (int p = 0; p < kPixels; ++p) out[i + p] = sums[p];
    }
    for (; i < n; ++i) {
        float sum = 0;
        for (std::int64_t k = 0; k < taps; ++k) sum += weights[i * taps + k] * line[(first[i] + k) * step];
        out[i] = sum;
    }
}

template <class T>
void fill(TileTable& table, DType dtype) {
    table.resample[static_cast<int>(dtype)] = {combine<T>, gather};
}

}  // namespace

void fill_resample(TileTable& table) noexcept {
    fill<float>(table, DType::float32);
    fill<double>(table, DType::float64);
    fill<BFloat16>(table, DType::bfloat16);
    fill<Float16>(table, DType::float16);
    fill<std::uint8_t>(table, DType::uint8);
    fill<std::uint16_t>(table, DType::uint16);
}

}  // namespace camfast::cpu::CAMFAST_ISA
