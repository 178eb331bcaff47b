/// One axis of a separable upsampling as a banded matrix.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "camfast/gaussian_upsample.h"
#include "camfast/view.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu {

/// Weights in both result types.
struct Weights {
    std::vector<float> single;
    std::vector<double> exact;

    void assign(std::vector<double> values) {
        exact = std::move(values);
        single.assign(exact.begin(), exact.end());
    }
    const void* at(DType result, std::int64_t i) const noexcept {
        return result == DType::float64 ? static_cast<const void*>(exact.data() + i)
                                        : static_cast<const void*>(single.data() + i);
    }
};

/// out[x] = sum over some cells of weight(x, cell) in[cell], arranged in the two ways in which it is used.
///
/// For combining lines, rows that follow each other form groups of kGroupRows at most, and those of a group
/// share their cells. For expanding a line, a Gaussian axis has blocks of kBlockPixels pixels that share
/// theirs. A cell may thus meet a weight of 0, which spreads what is not finite; a linear axis does without
/// (rows of a group have the same two cells, and each pixel of a line its own), so that it spreads no farther
/// than the formula says.
struct Axis {
    std::int64_t in = 1, out = 1;
    bool identity = false;  ///< nothing to do; the tables are empty

    std::int64_t window = 0;                ///< cells of a group
    std::vector<std::int32_t> group_begin;  ///< first row of each group, and the number of rows
    std::vector<std::int32_t> group_cells;  ///< by group, then cell
    Weights group_weights;                  ///< by group, then cell, then row: kGroupRows of them

    LineKind kind = LineKind::gaussian;
    std::int64_t line_window = 0;          ///< cells of a block; 2 for a linear axis
    std::vector<std::int32_t> line_cells;  ///< first cell of each block; linear: by cell, then pixel
    Weights line_weights;                  ///< by block, then cell, then pixel; linear: by cell, then pixel

    std::int64_t groups() const noexcept { return static_cast<std::int64_t>(group_begin.size()) - 1; }
    std::int64_t row(std::int64_t group) const noexcept {
        return group_begin[static_cast<std::size_t>(group)];
    }
};

/// Kept for the thread's next calls where it is small. Throw std::bad_alloc.
std::shared_ptr<const Axis> linear_axis(std::int64_t in, std::int64_t out);
std::shared_ptr<const Axis> gaussian_axis(std::int64_t in, std::int64_t out, const GaussianAxis& axis,
                                          Gain gain);

}  // namespace camfast::cpu
