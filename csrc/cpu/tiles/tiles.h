/// The inner loops, which are compiled once for each instruction set, and the table that holds the chosen
/// ones.
#pragma once

#include <cstdint>

#include "camfast/view.h"

namespace camfast::cpu {

/// Positions of a packed row, and channels packed at a time: a packed tile of float32 fits the first-level
/// cache.
constexpr std::int64_t kPackedPositions = 256;
constexpr std::int64_t kPackedChannels = 16;

/// Rows of a tile: row r starts `r * stride` elements behind `data`, its positions are adjacent.
struct Rows {
    const void* data;
    std::int64_t stride;
};

/// Loops for one element type T; results are of type R: float, or double for double. Sums run in float for a
/// few hundred elements at most and are then added up in double.
struct TileKernels {
    /// sum[r] += sum_p A[r, p];  sum_abs[r] += sum_p |A[r, p]|
    void (*activation_sums)(Rows a, std::int64_t rows, std::int64_t n, double* sum, double* sum_abs);
    /// sum[r] += sum_p G[r, p]
    void (*gradient_sums)(Rows g, std::int64_t rows, std::int64_t n, double* sum);
    /// sum[r] += sum_p A[r, p] G[r, p]
    void (*product_sums)(Rows a, Rows g, std::int64_t rows, std::int64_t n, double* sum);
    /// sum[r] += sum_p alpha G, alpha = 1 / (2 + S_r G) where G > 0, else 0; true where a 2 + S_r G < 2e-4
    /// was met.
    bool (*alpha_sums)(Rows g, const double* activation_sum, std::int64_t rows, std::int64_t n, double* sum);
    /// tile[p] += sum_r w[r] A[r, p]
    void (*add_weighted)(Rows a, const double* w, std::int64_t rows, std::int64_t n, double* tile);
    /// tile[p] += sum_r rectified(A[r, p] G[r, p]); the index is a Rectify
    void (*add_products[3])(Rows a, Rows g, std::int64_t rows, std::int64_t n, double* tile);
    /// out[p] = (add ? out[p] : 0) + tile[p], rectified where `relu`; out of type R
    void (*write)(const double* tile, std::int64_t n, bool add, bool relu, void* out);
    /// packed[r * kPackedPositions + p] = source[r * stride_r + p * stride_p]
    void (*pack)(const void* source, std::int64_t stride_r, std::int64_t stride_p, std::int64_t rows,
                 std::int64_t n, void* packed);
    /// out[i] = source[i] as R
    void (*convert)(const void* source, std::int64_t n, void* out);
    /// out[x] = sum_t weight[t * stride + x] line[index[t * stride + x]]; all of type R
    void (*expand_line)(const void* line, const std::int32_t* index, const void* weight, std::int64_t taps,
                        std::int64_t stride, std::int64_t n, void* out);
    /// out[x] = sum_t weight[t] lines[t][x]; all of type R
    void (*combine_lines)(const void* const* lines, const void* weight, std::int64_t taps, std::int64_t n,
                          void* out);
};

/// Kernels by DType.
struct TileTable {
    TileKernels kernels[4];
};

#define CAMFAST_DECLARE_ISA(isa)                 \
    namespace isa {                              \
    void fill_channel_sums(TileTable&) noexcept; \
    void fill_map_sums(TileTable&) noexcept;     \
    void fill_pack(TileTable&) noexcept;         \
    void fill_upsample(TileTable&) noexcept;     \
    }
CAMFAST_DECLARE_ISA(baseline)
#if defined(CAMFAST_X86)
CAMFAST_DECLARE_ISA(avx2)
CAMFAST_DECLARE_ISA(avx512)
#endif
#undef CAMFAST_DECLARE_ISA

}  // namespace camfast::cpu
