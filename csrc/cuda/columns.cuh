/// Sums down the columns of matrices whose rows are adjacent: over channels of contiguous maps, over
/// positions of channels-last ones.
///
/// A block takes a tile of columns, its threads laid out as `lanes` packets across and the others down. Each
/// thread walks every so many rows with several loads in flight; the rows of threads are added through shared
/// memory.
#pragma once

#include <algorithm>

#include "cuda/sums.cuh"

namespace camfast::cuda {

/// Rows that make a thread worth starting.
constexpr std::int64_t kWorthRows = 8;

/// `group`: targets of a term. `packet`: elements of one.
inline SumPlan plan_columns(std::int64_t samples, std::int64_t targets, int group, std::int64_t rows,
                            std::int64_t columns, int packet) noexcept {
    SumPlan plan{};
    plan.samples = samples;
    plan.targets = targets;
    plan.groups = ceil_div(targets, group);
    plan.rows = rows;
    plan.columns = columns;
    const std::int64_t packets = ceil_div(columns, packet);
    const auto blocks = [&](int lanes) { return samples * plan.groups * ceil_div(packets, lanes); };
    // As wide as still fills the device, and no rows of threads without rows of the matrix.
    plan.lanes = kSumThreads;
    while (plan.lanes > 32 && blocks(plan.lanes) < kWantedBlocks && rows >= 2 * kSumThreads / plan.lanes)
        plan.lanes /= 2;
    plan.tiles = ceil_div(packets, plan.lanes);
    const std::int64_t worth = rows / (kSumThreads / plan.lanes * kWorthRows);
    split(plan, rows, std::min(worth, kWantedBlocks / std::max<std::int64_t>(1, blocks(plan.lanes))));
    return plan;
}

template <class Term>
constexpr std::size_t columns_shared_bytes() noexcept {
    return sizeof(typename Term::Real) * Term::kSums * kPacket<typename Term::Element> * kSumThreads;
}

/// `block`: number of the block in its plan. A term says what is read of each row and added to the sums.
template <class Term, class Finish>
__device__ inline void column_sums(const SumPlan& plan, const Term& term,
                                   const SumParts<typename Term::Real>& parts, const Finish& finish,
                                   unsigned block) {
    using Real = typename Term::Real;
    using Access = typename Term::Access;
    constexpr int kPer = kPacket<typename Term::Element>;
    const BlockPart part(plan, Term::kTargets, block);
    const int lane = static_cast<int>(threadIdx.x) % plan.lanes;
    const int thread_row = static_cast<int>(threadIdx.x) / plan.lanes;
    const int thread_rows = kSumThreads / plan.lanes;
    const int width = plan.lanes * kPer;
    const Place place{part.tile * width + Access::column(lane, plan.lanes, 0), plan.columns, plan.lanes};
    const auto reader = term.reader(part.sample, part.first_target, plan.targets, place);

    Real sums[Term::kSums][kPer] = {};
    const std::int64_t end = min((part.split + 1) * plan.per_split, plan.length);
    std::int64_t row = part.split * plan.per_split + thread_row;
    for (; row + (Term::kUnroll - 1) * thread_rows < end; row += Term::kUnroll * thread_rows) {
        typename Term::Loaded loaded[Term::kUnroll];
#pragma unroll
        for (int u = 0; u < Term::kUnroll; ++u) loaded[u] = reader.load(row + u * thread_rows, place);
#pragma unroll
        for (int u = 0; u < Term::kUnroll; ++u) reader.add(loaded[u], sums);
    }
    for (; row < end; row += thread_rows) reader.add(reader.load(row, place), sums);

    Real* const shared = shared_memory<Real>();
#pragma unroll
    for (int s = 0; s < Term::kSums; ++s)
#pragma unroll
        for (int i = 0; i < kPer; ++i)
            shared[(thread_row * Term::kSums + s) * width + Access::column(lane, plan.lanes, i)] = sums[s][i];
    __syncthreads();
    conclude<Term::kSums>(plan, part, shared, thread_rows, width, plan.columns, parts, finish);
}

template <class Term, class Finish>
__global__ void __launch_bounds__(kSumThreads, 1)
    column_sums_kernel(const __grid_constant__ SumPlan plan, const __grid_constant__ Term term,
                       const SumParts<typename Term::Real> parts, const __grid_constant__ Finish finish) {
    column_sums(plan, term, parts, finish, blockIdx.x);
}

}  // namespace camfast::cuda
