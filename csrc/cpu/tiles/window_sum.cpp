/// Rows of a window, added to rows of the grid. Built without contraction of a product and a sum into one
/// rounding: the bits are those of every other backend.
#include "cpu/tiles/simd.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// total + taper map
struct Add {
    const double* taper;
    CAMFAST_INLINE Doubles operator()(Doubles total, Doubles map, std::int64_t i) const {
        return total + map * load(taper + i);
    }
    CAMFAST_INLINE Doubles part(Doubles total, Doubles map, std::int64_t i, int count) const {
        return total + map * load_part(taper + i, count);
    }
};

/// The larger, or NaN.
struct Larger {
    CAMFAST_INLINE Doubles operator()(Doubles total, Doubles map, std::int64_t) const {
        return (map > total) | ((map != map) & (total == total)) ? map : total;
    }
    CAMFAST_INLINE Doubles part(Doubles total, Doubles map, std::int64_t i, int) const {
        return (*this)(total, map, i);
    }
};

template <class T, class Blend>
CAMFAST_INLINE void blend_row(const T* map, std::int64_t begin, std::int64_t n, Blend blend, double* total) {
    constexpr int kParts = kLanes<T> / kDoubleLanes;
    std::int64_t i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) {
        const auto wide = widen(load(map + i));
        for (int part = 0; part < kParts; ++part) {
            const std::int64_t at = i + part * kDoubleLanes;
            store(total + at, blend(load(total + at), wide.parts[part], begin + at));
        }
    }
    if (i == n) return;
    const auto wide = widen(load_part(map + i, static_cast<int>(n - i)));
    for (int part = 0; part < kParts && i < n; ++part, i += kDoubleLanes) {
        if (i + kDoubleLanes <= n) {
            store(total + i, blend(load(total + i), wide.parts[part], begin + i));
            continue;
        }
        const auto count = static_cast<int>(n - i);
        const Doubles value = blend.part(load_part(total + i, count), wide.parts[part], begin + i, count);
        store_part(total + i, value, count);
    }
}

template <class T, class Blend>
CAMFAST_INLINE void blend_rows(const void* map, Blend blend, std::int64_t rows, std::int64_t n, double* total,
                               std::int64_t pitch) {
    for (std::int64_t row = 0; row < rows; ++row)
        blend_row(static_cast<const T*>(map) + row * n, row * n, n, blend, total + row * pitch);
}

template <class T>
void add_window(const void* map, const double* taper, std::int64_t rows, std::int64_t n, double* total,
                std::int64_t pitch) {
    blend_rows<T>(map, Add{taper}, rows, n, total, pitch);
}

template <class T>
void keep_window(const void* map, const double*, std::int64_t rows, std::int64_t n, double* total,
                 std::int64_t pitch) {
    blend_rows<T>(map, Larger{}, rows, n, total, pitch);
}

template <class T>
void fill(TileKernels& kernels) {
    kernels.blend_window[0] = add_window<T>;
    kernels.blend_window[1] = keep_window<T>;
}

}  // namespace

void fill_window_sum(TileTable& table) noexcept {
    fill<float>(table.kernels[static_cast<int>(DType::float32)]);
    fill<double>(table.kernels[static_cast<int>(DType::float64)]);
    fill<BFloat16>(table.kernels[static_cast<int>(DType::bfloat16)]);
    fill<Float16>(table.kernels[static_cast<int>(DType::float16)]);
}

}  // namespace camfast::cpu::CAMFAST_ISA
