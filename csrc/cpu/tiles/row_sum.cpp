/// Rows added up with factors.
#include "cpu/tiles/simd.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// Columns begin ... n - 1 of `kRows` rows; columns of rows `next` are fetched meanwhile.
template <class T, int kRows>
CAMFAST_INLINE void add_group(const T* const* rows, const T* const* next, const Result<T>* factors,
                              std::int64_t n, double* sum) {
    using R = Result<T>;
    constexpr std::int64_t kStep = kLanes<T>;
    const auto add_vector = [&](auto read, std::int64_t i) CAMFAST_INLINE_LAMBDA {
        Vector<T> run = read(rows[0] + i) * factors[0];
        for (int r = 1; r < kRows; ++r) run += read(rows[r] + i) * factors[r];
        auto sums = load_wide<R>(sum + i);
        add(sums, widen(run));
        store(sum + i, sums);
    };
    std::int64_t i = 0;
    for (; i + kStep <= n; i += kStep) {
        for (int r = 0; r < kRows; ++r) __builtin_prefetch(next[r] + i, 0, 2);
        add_vector(Whole<T>{}, i);
    }
    if (i < n) add_vector(Part<T>{static_cast<int>(n - i)}, i);
}

template <class T>
void add_rows(const void* const* rows, const void* const* next, const void* factors, int count,
              std::int64_t n, double* sum) {
    const T* here[kGroupedRows];
    const T* ahead[kGroupedRows];
    for (int r = 0; r < count; ++r) {
        here[r] = static_cast<const T*>(rows[r]);
        ahead[r] = static_cast<const T*>(next[r]);
    }
    const auto* factor = static_cast<const Result<T>*>(factors);
    if (count == kGroupedRows) return add_group<T, kGroupedRows>(here, ahead, factor, n, sum);
    for (int r = 0; r < count; ++r) add_group<T, 1>(here + r, ahead + r, factor + r, n, sum);
}

}  // namespace

void fill_row_sum(TileTable& table) noexcept {
    table.kernels[static_cast<int>(DType::float32)].add_rows = add_rows<float>;
    table.kernels[static_cast<int>(DType::float64)].add_rows = add_rows<double>;
    table.kernels[static_cast<int>(DType::bfloat16)].add_rows = add_rows<BFloat16>;
    table.kernels[static_cast<int>(DType::float16)].add_rows = add_rows<Float16>;
}

}  // namespace camfast::cpu::CAMFAST_ISA
