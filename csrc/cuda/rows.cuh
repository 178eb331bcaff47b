/// Sums along adjacent rows: over positions of contiguous maps, over channels of channels-last ones.
///
/// A block takes a tile of rows, `lanes` threads to each. A thread walks every so many packets with several
/// loads in flight; lanes are added by shuffles, and warps of one row through shared memory.
#pragma once

#include <algorithm>

#include "cuda/sums.cuh"

namespace camfast::cuda {

/// Packets that make a thread worth starting.
constexpr std::int64_t kWorthPackets = 8;

/// `group`: targets of a term. `packet`: elements of one.
inline SumPlan plan_rows(std::int64_t samples, std::int64_t targets, int group, std::int64_t rows,
                         std::int64_t columns, int packet) noexcept {
    SumPlan plan{};
    plan.samples = samples;
    plan.targets = targets;
    plan.groups = ceil_div(targets, group);
    plan.rows = rows;
    plan.columns = columns;
    const std::int64_t packets = ceil_div(columns, packet);
    const auto blocks = [&](int lanes) {
        return samples * plan.groups * ceil_div(rows, kSumThreads / lanes);
    };
    // A warp for each row, and more where rows are long or few.
    plan.lanes = 32;
    while (plan.lanes < kSumThreads && (packets > plan.lanes * 2 * kWorthPackets ||
                                        (blocks(plan.lanes) < kWantedBlocks && packets > plan.lanes)))
        plan.lanes *= 2;
    plan.tiles = ceil_div(rows, kSumThreads / plan.lanes);
    const std::int64_t worth = packets / (plan.lanes * kWorthPackets);
    const std::int64_t wanted = kWantedBlocks / std::max<std::int64_t>(1, blocks(plan.lanes));
    split(plan, ceil_div(packets, plan.lanes), std::min(worth, wanted));
    return plan;
}

template <class Term>
constexpr std::size_t rows_shared_bytes() noexcept {
    return sizeof(typename Term::Real) * Term::kSums * (kSumThreads / 32);
}

/// `block`: number of the block in its plan. A term says what is read of each packet and added to the sums.
template <class Term, class Finish>
__device__ inline void row_sums(const SumPlan& plan, const Term& term,
                                const SumParts<typename Term::Real>& parts, const Finish& finish,
                                unsigned block) {
    using Real = typename Term::Real;
    using Access = typename Term::Access;
    constexpr int kPer = kPacket<typename Term::Element>;
    const BlockPart part(plan, Term::kTargets, block);
    const int lane = static_cast<int>(threadIdx.x) % plan.lanes;
    const int thread_row = static_cast<int>(threadIdx.x) / plan.lanes;
    const int width = kSumThreads / plan.lanes;
    const std::int64_t tile_columns = static_cast<std::int64_t>(plan.lanes) * kPer;
    // Rows past the end are read as the last one; nothing is written for them.
    const std::int64_t row = min(part.tile * width + thread_row, plan.rows - 1);
    const auto reader = term.reader(part.sample, part.first_target, plan.targets, row);

    Real sums[Term::kSums][kPer] = {};
    std::int64_t tile = part.split * plan.per_split;
    const std::int64_t end = min(tile + plan.per_split, plan.length);
    const std::int64_t whole_end = min(end, plan.columns / tile_columns);
    const auto place = [&](std::int64_t tile) {
        return Place{tile * tile_columns + Access::column(lane, plan.lanes, 0), plan.columns, plan.lanes};
    };
    for (; tile + Term::kUnroll <= whole_end; tile += Term::kUnroll) {
        typename Term::Loaded loaded[Term::kUnroll];
#pragma unroll
        for (int u = 0; u < Term::kUnroll; ++u) loaded[u] = reader.load(row, place(tile + u));
#pragma unroll
        for (int u = 0; u < Term::kUnroll; ++u) reader.add(loaded[u], sums);
    }
    for (; tile < end; ++tile)
        if (Access::holds(place(tile))) reader.add(reader.load(row, place(tile)), sums);

    Real* const shared = shared_memory<Real>();
    const int warps = plan.lanes / 32;  // of one row
#pragma unroll
    for (int s = 0; s < Term::kSums; ++s) {
        Real sum = sums[s][0];
#pragma unroll
        for (int i = 1; i < kPer; ++i) sum += sums[s][i];
        sum = warp_sum(sum);
        if (lane % 32 == 0) shared[(lane / 32 * Term::kSums + s) * width + thread_row] = sum;
    }
    __syncthreads();
    conclude<Term::kSums>(plan, part, shared, warps, width, plan.rows, parts, finish);
}

template <class Term, class Finish>
__global__ void __launch_bounds__(kSumThreads, 1)
    row_sums_kernel(const __grid_constant__ SumPlan plan, const __grid_constant__ Term term,
                    const SumParts<typename Term::Real> parts, const __grid_constant__ Finish finish) {
    row_sums(plan, term, parts, finish, blockIdx.x);
}

}  // namespace camfast::cuda
