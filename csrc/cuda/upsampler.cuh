/// Separable upsampling in one pass: the inside of every kernel that upsamples.
///
/// A block makes a tile (y, x) of one map and walks along z. A plane of cells is expanded along x into lines,
/// and those along y into the columns of the thread that will need them (a packet of adjacent x at one y),
/// which go into a ring in shared memory. A group of pixels z is then summed in registers: each plane of the
/// ring is read once for all of them. So the outermost axis, where most of the arithmetic is, has weights
/// that are the same for the whole block, and the result is written once.
#pragma once

#include "cuda/lines.cuh"
#include "cuda/separable.cuh"

namespace camfast::cuda {

/// `kGroup` pixels z are summed at a time; Read::open() gives what makes a number of a cell.
template <class Real, Walk kWalk, bool kPacked, int kGroup, class Read = ReadCells<Real>>
class Upsampler {
public:
    __device__ explicit Upsampler(const Separable<Real>& problem, const Read& read = {})
        : problem_(problem),
          read_(read),
          lane_(static_cast<int>(threadIdx.x) % problem.tiling.packets),
          row_(static_cast<int>(threadIdx.x) / problem.tiling.packets) {}

    /// Calls sink(part, y, lane, z, count, sums) for every group of pixels z, in each thread that has an y.
    template <class Sink>
    __device__ void run(const Sink& sink) {
        const Tiling& tiling = problem_.tiling;
        for (std::int64_t tile = blockIdx.x; tile < tiling.tiles; tile += gridDim.x) {
            start(tile);
            walk(sink);
        }
    }

private:
    static constexpr int kPer = kPacket<Real>;
    static constexpr int kWeightPackets = kGroup / kPer;

    __device__ void start(std::int64_t tile) {
        const Tiling& tiling = problem_.tiling;
        part_.tile_x = static_cast<int>(tile % tiling.tiles_x);
        tile /= tiling.tiles_x;
        part_.y_begin = static_cast<int>(tile % tiling.tiles_y) * tiling.rows;
        tile /= tiling.tiles_y;
        const std::int64_t z = tile % tiling.segments * tiling.length;
        part_.z_begin = static_cast<int>(z);
        part_.z_end = static_cast<int>(min(z + tiling.length, static_cast<std::int64_t>(problem_.z.pixels)));
        const std::int64_t map = tile / tiling.segments;
        part_.sample = map / problem_.targets;
        part_.target = map - part_.sample * problem_.targets;
        const int y_end = min(part_.y_begin + tiling.rows, problem_.y.pixels);
        active_ = row_ < tiling.rows && part_.y_begin + row_ < y_end;
        rows_begin_ = problem_.y.first(part_.y_begin);
        rows_end_ = problem_.y.first(y_end - 1) + problem_.y.taps;
        lines_at_once_ = min(rows_end_ - rows_begin_, tiling.lines);
        planes_at_once_ = min(tiling.lines / lines_at_once_, tiling.ring);
    }

    /// function(first element of the part's grid), in the grid's own type.
    template <class Function>
    __device__ void with_grid(const Function& function) const {
        const std::int64_t offset = part_.sample * problem_.grid_n + part_.target * problem_.grid_t;
        if (sizeof(Real) == 8 || problem_.dtype == DType::float64) {
            function(static_cast<const double*>(problem_.grid) + offset);
        } else if (problem_.dtype == DType::bfloat16) {
            function(static_cast<const BFloat16*>(problem_.grid) + offset);
        } else if (problem_.dtype == DType::float16) {
            function(static_cast<const Float16*>(problem_.grid) + offset);
        } else {
            function(static_cast<const float*>(problem_.grid) + offset);
        }
    }

    template <class Sink>
    __device__ void walk(const Sink& sink) {
        const Axis<Real>& axis = problem_.z;
        int made = 0;  // planes below are in the ring, unless they are remade
        for (int z = part_.z_begin; z < part_.z_end;) {
            const int begin = axis.first(z);
            int count = min(kGroup, part_.z_end - z);
            if constexpr (kWalk != Walk::remade)
                while (axis.first(z + count - 1) + axis.taps - begin > problem_.tiling.ring) --count;
            const int end = axis.first(z + count - 1) + axis.taps;
            if constexpr (kWalk == Walk::remade) {
                for (int plane = begin; plane < end;) {
                    const int stop = min(plane + planes_at_once_, end);
                    make(plane, stop, z, count, plane, stop);
                    if (active_) sum_some(z, count, begin, plane, stop, end, sink);
                    plane = stop;
                }
            } else {
                int plane = max(begin, made);
                do {
                    const int stop = min(plane + planes_at_once_, end);
                    if (kWalk == Walk::direct && stop == plane) break;
                    make(plane, stop, z, count, begin, stop == end ? end : begin);
                    plane = stop;
                } while (plane < end);
                made = end;
                if (active_) {
                    Sums<Real, kGroup> sums = {};
                    if constexpr (kWalk == Walk::direct)
                        sum_each(z, count, begin, sums);
                    else
                        sum_group(begin, end, sums);
                    sink(part_, part_.y_begin + row_, lane_, z, count, sums);
                }
            }
            z += count;
        }
    }

    /// Planes from `plane` to `stop` into the ring; and the weights, for a group of pixels, of those from
    /// `summed` to `sum_stop`.
    __device__ void make(int plane, int stop, int z, int count, int summed, int sum_stop) {
        for (int row = rows_begin_; row < rows_end_; row += lines_at_once_) {
            const int rows = min(lines_at_once_, rows_end_ - row);
            const Cells cells{plane, stop - plane, row, rows};
            with_grid([&](auto* grid) {
                expand_lines(problem_, read_, grid, cells, part_.tile_x * width(), width(), lines());
            });
            if constexpr (kWalk != Walk::direct) spread(z, count, summed, sum_stop);
            // One barrier a step: a buffer is written again after the next one, which no thread reaches
            // before it has read this.
            __syncthreads();
            if (active_) combine(plane, stop - plane, row, rows);
            buffer_ ^= 1;
        }
    }

    /// Adds planes to a group's sums, which wait in shared memory for the next planes.
    template <class Sink>
    __device__ void sum_some(int z, int count, int begin, int plane, int stop, int end,
                             const Sink& sink) const {
        Packet<Real>* const waiting = &column(problem_.tiling.ring);
        const int step = static_cast<int>(blockDim.x);
        Sums<Real, kGroup> sums = {};
        if (plane > begin) {
#pragma unroll
            for (int j = 0; j < kGroup; ++j) {
                const Packet<Real> packet = waiting[j * step];
#pragma unroll
                for (int i = 0; i < kPer; ++i) sums[j][i] = packet.elements[i];
            }
        }
        sum_group(plane, stop, sums);
        if (stop == end) {
            sink(part_, part_.y_begin + row_, lane_, z, count, sums);
            return;
        }
#pragma unroll
        for (int j = 0; j < kGroup; ++j) waiting[j * step] = packet_of(sums[j]);
    }

    /// Columns of a tile.
    __device__ int width() const { return problem_.tiling.packets * kPer; }
    __device__ Real* lines() const {
        return reinterpret_cast<Real*>(shared_memory<char>() + problem_.tiling.lines_begin) +
               buffer_ * problem_.tiling.lines * width();
    }
    __device__ Packet<Real>* spread_weights(int buffer) const {
        return reinterpret_cast<Packet<Real>*>(shared_memory<char>() + problem_.tiling.weights_begin) +
               buffer * problem_.tiling.ring * kWeightPackets;
    }
    __device__ Packet<Real>& column(int slot) const {
        return shared_memory<Packet<Real>>()[slot * static_cast<int>(blockDim.x) +
                                             static_cast<int>(threadIdx.x)];
    }

    /// Lines along y into this thread's columns; rows that don't come at once are added up in the ring.
    __device__ void combine(int plane, int planes, int row, int rows) const {
        const Axis<Real>& axis = problem_.y;
        const int y = part_.y_begin + row_;
        const int first = axis.first(y);
        const int begin = max(0, row - first), end = min(axis.taps, row + rows - first);
        const Real* line = lines() + (first - row) * width();
        int slot = plane % problem_.tiling.ring;
        for (int p = 0; p < planes; ++p) {
            Packet<Real>& target = column(slot);
            Packet<Real> sums{};
            if (row != rows_begin_) sums = target;
            const Real* next = line + begin * width();
            if (!axis.weights) {
                sums = load_columns(next);
            } else {
                const Real* weights = axis.weights + static_cast<std::int64_t>(begin) * axis.pixels + y;
#pragma unroll 4
                for (int t = begin; t < end; ++t) {
                    const Real weight = __ldg(weights);
                    const Packet<Real> values = load_columns(next);
#pragma unroll
                    for (int i = 0; i < kPer; ++i) sums.elements[i] += weight * values.elements[i];
                    weights += axis.pixels;
                    next += width();
                }
            }
            target = sums;
            line += rows * width();
            if (++slot == problem_.tiling.ring) slot = 0;
        }
    }

    __device__ Packet<Real> load_columns(const Real* line) const {
        if constexpr (kPacked) {
            return *reinterpret_cast<const Packet<Real>*>(line + lane_ * kPer);
        } else {
            Packet<Real> packet;
#pragma unroll
            for (int i = 0; i < kPer; ++i) packet.elements[i] = line[lane_ + i * problem_.tiling.packets];
            return packet;
        }
    }

    /// Weights of the planes for each pixel of the group, 0 where a plane is none of its taps.
    __device__ void spread(int z, int count, int begin, int end) const {
        const Axis<Real>& axis = problem_.z;
        Real* const target = reinterpret_cast<Real*>(spread_weights(buffer_));
        const int items = (end - begin) * kGroup;
        for (int item = static_cast<int>(threadIdx.x); item < items; item += static_cast<int>(blockDim.x)) {
            const int pixel = z + item % kGroup;
            const bool inside = item % kGroup < count;
            const int tap = inside ? begin + item / kGroup - axis.first(pixel) : -1;
            target[item] = tap >= 0 && tap < axis.taps ? axis.weight(tap, pixel) : Real{0};
        }
    }

    __device__ void sum_group(int begin, int end, Sums<Real, kGroup>& sums) const {
        const Packet<Real>* weights = spread_weights(buffer_ ^ 1);
        // From the slot of the first plane to the end of the ring, and on from its start: no test in between.
        const int ring = problem_.tiling.ring;
        const int slot = begin % ring;
        for (int first = slot, left = end - begin; left > 0; first = 0) {
            const int planes = min(left, ring - first);
            const Packet<Real>* values = &column(first);
            const Packet<Real>* const stop = weights + planes * kWeightPackets;
#pragma unroll 2
            while (weights < stop) {
                add_plane(*values, weights, sums);
                values += blockDim.x;
                weights += kWeightPackets;
            }
            left -= planes;
        }
    }

    __device__ static void add_plane(const Packet<Real>& values, const Packet<Real>* weights,
                                     Sums<Real, kGroup>& sums) {
        const Packet<Real> column = values;
#pragma unroll
        for (int w = 0; w < kWeightPackets; ++w) {
            const Packet<Real> weight = weights[w];
#pragma unroll
            for (int j = 0; j < kPer; ++j)
#pragma unroll
                for (int i = 0; i < kPer; ++i)
                    sums[w * kPer + j][i] += weight.elements[j] * column.elements[i];
        }
    }

    /// One or two taps a pixel: no weight of 0 meets a cell that is none of them, which may be NaN.
    __device__ void sum_each(int z, int count, int begin, Sums<Real, kGroup>& sums) const {
        const Axis<Real>& axis = problem_.z;
        const int ring = problem_.tiling.ring;
        const int start = begin % ring;
#pragma unroll
        for (int j = 0; j < kGroup; ++j) {
            const int pixel = z + min(j, count - 1);
            int slot = start + axis.first(pixel) - begin;
            if (slot >= ring) slot -= ring;
            const Real weight = axis.weight(0, pixel);
            const Packet<Real> values = column(slot);
#pragma unroll
            for (int i = 0; i < kPer; ++i) sums[j][i] = weight * values.elements[i];
            if (axis.taps == 1) continue;
            if (++slot == ring) slot = 0;
            const Real second = axis.weight(1, pixel);
            const Packet<Real> others = column(slot);
#pragma unroll
            for (int i = 0; i < kPer; ++i) sums[j][i] += second * others.elements[i];
        }
    }

    const Separable<Real>& problem_;
    const Read read_;
    Part part_;
    int lane_, row_;
    int rows_begin_, rows_end_, lines_at_once_, planes_at_once_;
    int buffer_ = 0;  // of lines and weights: the one to be written next
    bool active_;
};

}  // namespace camfast::cuda
