/// Sums down the columns of a matrix whose rows are adjacent: over channels of contiguous maps.
///
/// A block takes a tile of columns, its threads laid out as `lanes` packets across and kThreads / lanes rows
/// down. Each thread walks every so many rows with several loads in flight, the rows of threads are added
/// through shared memory, and where a column's rows are split over blocks the last block to finish adds the
/// parts. Every sum has one order, a function of the sizes alone.
#pragma once

#include <algorithm>

#include "cuda/dispatch.h"
#include "cuda/launch.h"
#include "cuda/problem.h"
#include "cuda/reduce.cuh"
#include "cuda/vector_access.cuh"

namespace camfast::cuda {

/// How the sums of a launch are shared out.
struct ColumnsPlan {
    std::int64_t samples, groups, tiles, splits;  // blocks: the product, the last innermost
    std::int64_t targets, rows, columns;
    std::int64_t rows_per_split;
    int lanes;

    std::int64_t blocks() const noexcept { return samples * groups * tiles * splits; }
    std::int64_t counters() const noexcept { return splits > 1 ? samples * groups * tiles : 0; }
};

/// Blocks that fill a large device, and rows that make a thread worth starting.
constexpr std::int64_t kWantedBlocks = 264;
constexpr std::int64_t kWorthRows = 8;
constexpr int kColumnThreads = 256;
constexpr std::int64_t kMaxSplits = 64;

inline ColumnsPlan plan_columns(std::int64_t samples, std::int64_t targets, int group, std::int64_t rows,
                                std::int64_t columns, int packet) noexcept {
    ColumnsPlan plan{};
    plan.samples = samples;
    plan.targets = targets;
    plan.groups = ceil_div(targets, group);
    plan.rows = rows;
    plan.columns = columns;
    const std::int64_t packets = ceil_div(columns, packet);
    const auto blocks = [&](int lanes) { return samples * plan.groups * ceil_div(packets, lanes); };
    // As wide as still fills the device, but no rows of threads without rows of the matrix.
    plan.lanes = kColumnThreads;
    while (plan.lanes > 32 && blocks(plan.lanes) < kWantedBlocks &&
           rows >= kColumnThreads / (plan.lanes / 2) * 2)
        plan.lanes /= 2;
    plan.tiles = ceil_div(packets, plan.lanes);
    const std::int64_t worth = rows / (kColumnThreads / plan.lanes * kWorthRows);
    const std::int64_t wanted = kWantedBlocks / std::max<std::int64_t>(1, blocks(plan.lanes));
    plan.splits = std::clamp<std::int64_t>(std::min(worth, wanted), 1, kMaxSplits);
    plan.rows_per_split = std::max<std::int64_t>(1, ceil_div(rows, plan.splits));
    plan.splits = std::max<std::int64_t>(1, ceil_div(rows, plan.rows_per_split));
    return plan;
}

/// Where the sums go: (N, T, columns), adjacent over the last.
template <class Real>
struct ColumnsOut {
    Real* data;
    std::int64_t n, t;
    Real lowest;    ///< 0 for a ReLU, else -infinity
    Real* partial;  ///< of the splits, where there are several
    unsigned* counters;
};

/// A term says what is read of each row and added to the sums; see terms.cuh.
template <class Term>
__global__ void __launch_bounds__(kColumnThreads)
    sum_columns(const ColumnsPlan plan, const Term term, const ColumnsOut<typename Term::Real> out) {
    using Real = typename Term::Real;
    constexpr int kPer = kPacket<typename Term::Element>;
    const int lane = static_cast<int>(threadIdx.x) % plan.lanes;
    const int thread_row = static_cast<int>(threadIdx.x) / plan.lanes;
    const int thread_rows = kColumnThreads / plan.lanes;
    std::int64_t block = blockIdx.x;
    const std::int64_t split = block % plan.splits;
    block /= plan.splits;
    const std::int64_t owner = block;  // the blocks that share these columns
    const std::int64_t tile = block % plan.tiles;
    block /= plan.tiles;
    const std::int64_t first_target = block % plan.groups * Term::kTargets;
    const std::int64_t sample = block / plan.groups;
    const std::int64_t end = min((split + 1) * plan.rows_per_split, plan.rows);

    const typename Term::Columns columns(tile, lane, plan.lanes, plan.columns);
    const auto reader = term.reader(sample, first_target, plan.targets);
    Real sums[Term::kTargets][kPer] = {};
    std::int64_t row = split * plan.rows_per_split + thread_row;
    for (; row + (Term::kUnroll - 1) * thread_rows < end; row += Term::kUnroll * thread_rows) {
        typename Term::Loaded loaded[Term::kUnroll];
#pragma unroll
        for (int u = 0; u < Term::kUnroll; ++u) loaded[u] = reader.load(columns, row + u * thread_rows);
#pragma unroll
        for (int u = 0; u < Term::kUnroll; ++u) reader.add(loaded[u], sums);
    }
    for (; row < end; row += thread_rows) reader.add(reader.load(columns, row), sums);

    // From here on every thread takes its share of the block's sums, in the order of the columns.
    const int width = plan.lanes * kPer;
    const int count = Term::kTargets * width;
    Real* const shared = shared_memory<Real>();
#pragma unroll
    for (int t = 0; t < Term::kTargets; ++t)
#pragma unroll
        for (int i = 0; i < kPer; ++i)
            shared[thread_row * count + t * width + Term::Columns::place(lane, plan.lanes, i)] = sums[t][i];
    __syncthreads();
    const auto write = [&](int index, Real sum) {
        const std::int64_t target = first_target + index / width;
        const std::int64_t column = tile * width + index % width;
        if (target < plan.targets && column < plan.columns)
            out.data[sample * out.n + target * out.t + column] = at_least(out.lowest, sum);
    };
    Real* const parts = out.partial + owner * plan.splits * count;
    for (int index = static_cast<int>(threadIdx.x); index < count; index += kColumnThreads) {
        Real sum = shared[index];
        for (int r = 1; r < thread_rows; ++r) sum += shared[r * count + index];
        if (plan.splits == 1)
            write(index, sum);
        else
            parts[split * count + index] = sum;
    }
    if (plan.splits == 1 || !last_to_arrive(&out.counters[owner], static_cast<unsigned>(plan.splits))) return;
    for (int index = static_cast<int>(threadIdx.x); index < count; index += kColumnThreads) {
        Real sum = 0;
        for (std::int64_t s = 0; s < plan.splits; ++s) sum += read_shared_result(parts + s * count + index);
        write(index, sum);
    }
}

template <class Term>
std::size_t columns_shared_bytes() noexcept {
    return sizeof(typename Term::Real) * Term::kTargets * kPacket<typename Term::Element> * kColumnThreads;
}

}  // namespace camfast::cuda
