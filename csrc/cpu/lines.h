/// Lines along one axis, expanded and combined: what the passes of an upsampling are made of.
#pragma once

#include "cpu/axis.h"
#include "cpu/problem.h"

namespace camfast::cpu {

/// Lines of cells (of the result type, adjacent) expanded along an axis, each to some pixels of its line in
/// `out`.
inline void expand_lines(const TileKernels& tiles, const Axis& axis, DType result, const void* cells,
                         std::int64_t count, Range pixels, void* out) noexcept {
    tiles.expand_lines[static_cast<int>(axis.kind)](
        {cells, count, axis.in, axis.out},
        {axis.line_cells.data(), axis.line_weights.at(result, 0), axis.line_window}, pixels.begin, pixels.end,
        out);
}

/// The rows of a group of the axis, n elements each, combined from lines: that of `first_cell` starts at
/// `source`, the next `pitch` bytes behind. `lines` is space for axis.window pointers.
inline void combine_group(const TileKernels& tiles, const Axis& axis, DType result, std::int64_t group,
                          const char* source, std::int64_t first_cell, std::int64_t pitch, const void** lines,
                          std::int64_t n, Rows out) noexcept {
    const std::int32_t* const cells = axis.group_cells.data() + group * axis.window;
    for (std::int64_t t = 0; t < axis.window; ++t) lines[t] = source + (cells[t] - first_cell) * pitch;
    tiles.combine_lines(lines, axis.group_weights.at(result, group * axis.window * kGroupRows), axis.window,
                        static_cast<int>(axis.row(group + 1) - axis.row(group)), n, out);
}

}  // namespace camfast::cpu
