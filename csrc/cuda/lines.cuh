/// The first step of an upsampling: rows of cells along x into lines of pixels.
#pragma once

#include "cuda/separable.cuh"

namespace camfast::cuda {

/// Rows of cells: some rows y of some planes z.
struct Cells {
    int plane, planes, row, rows;
};

/// Lines (planes, rows, width) of pixels from x_begin on, of a contiguous grid. Pixels behind the map repeat
/// its last. A thread takes one x in several rows, so that a weight is read once for them.
template <class Real, class Read, class Element>
__device__ void expand_lines(const Separable<Real>& problem, const Read& read, const Element* grid,
                             const Cells& cells, int x_begin, int width, Real* lines) {
    constexpr int kTogether = 4;
    const auto number = read.open();
    const Axis<Real>& axis = problem.x;
    const int count = cells.planes * cells.rows;
    const std::int64_t plane_stride = static_cast<std::int64_t>(problem.y.cells) * axis.cells;
    const Element* const corner =
        grid + cells.plane * plane_stride + cells.row * static_cast<std::int64_t>(axis.cells);
    const int items = (count + kTogether - 1) / kTogether * width;
    for (int item = static_cast<int>(threadIdx.x); item < items; item += static_cast<int>(blockDim.x)) {
        const int x = item % width;
        const int line = item / width * kTogether;
        const int pixel = min(x_begin + x, axis.pixels - 1);
        const Element* sources[kTogether];
        const Element* source = corner + line / cells.rows * plane_stride + axis.first(pixel);
        int row = line % cells.rows;
#pragma unroll
        for (int k = 0; k < kTogether; ++k) {
            sources[k] = source + row * static_cast<std::int64_t>(axis.cells);
            if (line + k + 1 < count && ++row == cells.rows) {
                row = 0;
                source += plane_stride;
            }
        }
        Real sums[kTogether] = {};
        if (!axis.weights) {
#pragma unroll
            for (int k = 0; k < kTogether; ++k) sums[k] = number(*sources[k]);
        } else {
            const Real* weights = axis.weights + pixel;
#pragma unroll 2
            for (int t = 0; t < axis.taps; ++t) {
                const Real weight = __ldg(weights);
                weights += axis.pixels;
#pragma unroll
                for (int k = 0; k < kTogether; ++k) sums[k] += weight * number(sources[k][t]);
            }
        }
#pragma unroll
        for (int k = 0; k < kTogether; ++k)
            if (line + k < count) lines[(line + k) * width + x] = sums[k];
    }
}

}  // namespace camfast::cuda
