/// The inner loops, which are compiled once for each instruction set, and the table that holds the chosen
/// ones.
#pragma once

#include <cstdint>

#include "camfast/view.h"

namespace camfast::cpu {

/// What lies side by side in memory.
enum class Adjacent : int { positions = 0, channels = 1 };

/// Elements of some channels and positions. Where positions are adjacent, channel k starts `k * stride`
/// elements behind `data`; where channels are, position p does at `p * stride`.
struct Tile {
    const void* data;
    std::int64_t stride;
};

/// A packed tile has adjacent positions, and as many channels and positions at most: float32 fits the
/// first-level cache.
constexpr std::int64_t kPackedPositions = 256;
constexpr std::int64_t kPackedChannels = 16;
/// Channels of any tile that is summed over positions.
constexpr std::int64_t kTileChannels = 64;
/// Sums over channels are read and written in whole vectors: they have room for a multiple of so many.
constexpr std::int64_t kSumsStep = 16;

/// Sums over tiles of one layout and element type T; results are of type R: float, or double for double.
/// Terms are formed in R and added up in R over short runs, and the runs in float64: more would cost more
/// than memory.
struct LayoutKernels {
    /// sum[k] += sum_p A[k, p], all of it in float64;  sum_abs[k] += sum_p |A[k, p]|
    void (*activation_sums)(Tile a, std::int64_t channels, std::int64_t positions, double* sum,
                            double* sum_abs);
    /// sum[k] += sum_p G[k, p]
    void (*gradient_sums)(Tile g, std::int64_t channels, std::int64_t positions, double* sum);
    /// sum[k] += sum_p A[k, p] G[k, p]
    void (*product_sums)(Tile a, Tile g, std::int64_t channels, std::int64_t positions, double* sum);
    /// The sums of activation_sums and product_sums in one pass.
    void (*response_sums)(Tile a, Tile g, std::int64_t channels, std::int64_t positions, double* sum,
                          double* sum_abs, double* product_sum);
    /// sum[k] += sum_p alpha G, alpha = 1 / (2 + S_k G) where G > 0, else 0. Whether 2 + S_k G was below 2e-4
    /// somewhere.
    bool (*alpha_sums)(Tile g, const double* activation_sum, std::int64_t channels, std::int64_t positions,
                       double* sum);
    /// sum[p] += sum_k w[k] A[k, p]; w of type R
    void (*add_weighted)(Tile a, const void* w, std::int64_t channels, std::int64_t positions, double* sum);
    /// sum[p] += sum_k rectified(A[k, p] G[k, p]); the index is a Rectify
    void (*add_products[3])(Tile a, Tile g, std::int64_t channels, std::int64_t positions, double* sum);
};

/// Rows that are made of the same lines at once, and pixels that are made of the same cells of a line.
constexpr int kGroupRows = 4;
constexpr int kBlockPixels = 16;

/// How a line is expanded.
enum class LineKind : int { linear = 0, gaussian = 1 };

/// `count` lines, one every `in` cells, and one every `out` pixels of the result.
struct Lines {
    const void* cells;
    std::int64_t count, in, out;
};

/// linear: pixel x is the sum over t = 0, 1 of weight[t * out + x] line[cells[t * out + x]];
/// gaussian: pixel b * kBlockPixels + i is the sum over t of weight[(b * window + t) * kBlockPixels + i]
/// line[cells[b] + t].
struct Expansion {
    const std::int32_t* cells;
    const void* weight;
    std::int64_t window;
};

/// Rows of a result, `pitch` elements apart. `stream`: past the caches, for what is larger than they are.
struct Rows {
    void* data;
    std::int64_t pitch;
    bool stream;
};

/// Rows of a matrix that are summed at a time.
constexpr int kGroupedRows = 8;

/// The image's part of a pixel: (level - black) * scale, cut to 0 ... brightest.
struct Tones {
    float black, scale, brightest;
    double exact_black, exact_scale;
};

/// What a picture's pixels are painted with.
struct Paint {
    std::uint32_t colors[256];  ///< red in the low byte, then green, then blue
    float alpha;
    float first_shade;  ///< lowest that is in colour; 0: all are
    Tones under, bare;  ///< under a colour, and where the image is alone
};

/// A row of n pixels: shade 0 is the first colour, 255 the last; image gray, or red, green and blue.
using PaintRow = void (*)(const float* shade, const void* image, const Paint& paint, std::int64_t n,
                          std::uint8_t* out);
struct PaintKernels {
    PaintRow gray[2], rgb[2];  ///< by whether the first shade is more than 0
};

/// A picture's lines made to one, and that one resampled.
struct ResampleKernels {
    /// out[x] = sum_k weights[k] lines[k][x]
    void (*combine)(const void* const* lines, const float* weights, std::int64_t count, std::int64_t n,
                    float* out);
    /// out[i] = sum_k weights[i * taps + k] line[(first[i] + k) * step]
    void (*gather)(const float* line, std::int64_t step, const std::int32_t* first, const float* weights,
                   std::int64_t taps, std::int64_t n, float* out);
};

/// Loops for one element type T.
struct TileKernels {
    LayoutKernels layout[2];  ///< by Adjacent
    /// out[p] = (add ? out[p] : 0) + sum[p], rectified where `relu`; out of type R
    void (*write)(const double* sum, std::int64_t n, bool add, bool relu, void* out);
    /// packed[k * kPackedPositions + p] = source[k * stride_k + p * stride_p]
    void (*pack)(const void* source, std::int64_t stride_k, std::int64_t stride_p, std::int64_t channels,
                 std::int64_t positions, void* packed);
    /// out[i] = source[i] as R
    void (*convert)(const void* source, std::int64_t n, void* out);
    /// Lines of cells, each expanded to pixels begin ... end - 1 of its line of the result; all of type R.
    void (*expand_lines[2])(Lines lines, const Expansion& expansion, std::int64_t begin, std::int64_t end,
                            void* out);
    /// out[r][x] = sum_t weight[t * kGroupRows + r] lines[t][x] for `rows` rows; all of type R
    void (*combine_lines)(const void* const* lines, const void* weight, std::int64_t window, int rows,
                          std::int64_t n, Rows out);
    /// out[i] = (heat[i] - low) * scale; 0 for a scale of 0, unless heat[i] is NaN
    void (*shade_line)(const void* heat, double low, double scale, std::int64_t n, float* out);
    /// (values, index)_out[i] = candidate[i] > values[i], or NaN first, ? (candidate[i], unit) : (values,
    /// index)[i]; candidate of type T, values of type R, and the outputs may be the inputs
    void (*keep_larger)(const void* values, const std::int32_t* index, const void* candidate,
                        std::int32_t unit, std::int64_t n, void* values_out, std::int32_t* index_out);
    /// total[r * pitch + i] blended with map[r * n + i] for `rows` rows of n cells, by Blend: the sum with
    /// taper[r * n + i] times it, product and sum each rounded to float64, or the larger, NaN first
    void (*blend_window[2])(const void* map, const double* taper, std::int64_t rows, std::int64_t n,
                            double* total, std::int64_t pitch);
    /// sum[i] += sum_r factors[r] rows[r][i] for at most kGroupedRows rows; factors of type R. Meanwhile
    /// next[r][i] is fetched, an address for each row that need not be one.
    void (*add_rows)(const void* const* rows, const void* const* next, const void* factors, int count,
                     std::int64_t n, double* sum);
};

/// Kernels by DType.
struct TileTable {
    TileKernels kernels[4];
    PaintKernels paint[6];
    ResampleKernels resample[6];
};

#define CAMFAST_DECLARE_ISA(isa)                 \
    namespace isa {                              \
    void fill_channel_sums(TileTable&) noexcept; \
    void fill_map_sums(TileTable&) noexcept;     \
    void fill_overlay(TileTable&) noexcept;      \
    void fill_pack(TileTable&) noexcept;         \
    void fill_resample(TileTable&) noexcept;     \
    void fill_row_sum(TileTable&) noexcept;      \
    void fill_running_max(TileTable&) noexcept;  \
    void fill_upsample(TileTable&) noexcept;     \
    void fill_window_sum(TileTable&) noexcept;   \
    }
CAMFAST_DECLARE_ISA(baseline)
#if defined(CAMFAST_X86)
CAMFAST_DECLARE_ISA(avx2)
CAMFAST_DECLARE_ISA(avx512)
#endif
#undef CAMFAST_DECLARE_ISA

}  // namespace camfast::cpu
