/// How a launch shares out many sums, and how it ends them; columns.cuh and rows.cuh are the two ways to take
/// them.
///
/// Each sum belongs to one or several blocks: where the terms of a sum are split, every block leaves its part
/// in the scratch and the last one to finish adds the parts up. The order is a function of the sizes alone.
#pragma once

#include <algorithm>

#include "arguments.h"
#include "cuda/reduce.cuh"
#include "cuda/vector_access.cuh"

namespace camfast::cuda {

/// With a bound of one block the compiler keeps a thread's loads in registers, and spills none.
constexpr int kSumThreads = 256;
/// Blocks that fill a large device, and a bound for the parts of a sum.
constexpr std::int64_t kWantedBlocks = 264;
constexpr std::int64_t kMaxSplits = 64;

struct SumPlan {
    std::int64_t samples, groups, tiles, splits;  ///< blocks: their product, the last innermost
    std::int64_t targets;                         ///< in groups of a term's kTargets
    std::int64_t rows, columns;                   ///< of each sample's matrix
    std::int64_t length, per_split;               ///< steps along a sum, and those of one split
    int lanes;                                    ///< threads across; kSumThreads / lanes down

    __host__ __device__ std::int64_t blocks() const noexcept { return samples * groups * tiles * splits; }
    std::int64_t counters() const noexcept { return splits > 1 ? samples * groups * tiles : 0; }
};

/// Cuts `length` steps into at most `wanted` splits.
inline void split(SumPlan& plan, std::int64_t length, std::int64_t wanted) noexcept {
    plan.length = length;
    plan.per_split =
        std::max<std::int64_t>(1, ceil_div(length, std::clamp<std::int64_t>(wanted, 1, kMaxSplits)));
    plan.splits = std::max<std::int64_t>(1, ceil_div(length, plan.per_split));
}

/// Which part of the plan a block takes.
struct BlockPart {
    std::int64_t split, owner, tile, first_target, sample;

    __device__ BlockPart(const SumPlan& plan, int targets, unsigned block) {
        // 32-bit numbers: a launch has fewer than 2^31 blocks
        const auto splits = static_cast<unsigned>(plan.splits), tiles = static_cast<unsigned>(plan.tiles);
        const auto groups = static_cast<unsigned>(plan.groups);
        split = block % splits;
        owner = block / splits;
        tile = block / splits % tiles;
        const unsigned group = block / splits / tiles;
        first_target = static_cast<std::int64_t>(group % groups) * targets;
        sample = group / groups;
    }
};

/// Where blocks leave parts of sums: kSums * results of a tile for each block, and a counter for each owner.
template <class Real>
struct SumParts {
    Real* data;
    unsigned* counters;
};

/// Ends the sums of a block. `shared` holds [terms][kSums][width]: what the block's threads have summed for
/// each of the `width` results of its tile. finish(sample, first_target, result, sums) is called once for
/// each.
template <int kSums, class Real, class Finish>
__device__ inline void conclude(const SumPlan& plan, const BlockPart& part, const Real* shared, int terms,
                                int width, std::int64_t results, const SumParts<Real>& parts,
                                const Finish& finish) {
    const std::int64_t first = part.tile * width;
    const int held = static_cast<int>(min(static_cast<std::int64_t>(width), results - first));
    Real* const own = parts.data + part.owner * plan.splits * kSums * width;
    for (int i = static_cast<int>(threadIdx.x); i < held; i += kSumThreads) {
        Real sums[kSums];
#pragma unroll
        for (int s = 0; s < kSums; ++s) {
            sums[s] = shared[s * width + i];
            for (int term = 1; term < terms; ++term) sums[s] += shared[(term * kSums + s) * width + i];
            if (plan.splits > 1) own[(part.split * kSums + s) * width + i] = sums[s];
        }
        if (plan.splits == 1) finish(part.sample, part.first_target, first + i, sums);
    }
    if (plan.splits == 1 || !last_to_arrive(&parts.counters[part.owner], static_cast<unsigned>(plan.splits)))
        return;
    for (int i = static_cast<int>(threadIdx.x); i < held; i += kSumThreads) {
        Real sums[kSums] = {};
        for (std::int64_t k = 0; k < plan.splits; ++k)
#pragma unroll
            for (int s = 0; s < kSums; ++s) sums[s] += read_shared_result(own + (k * kSums + s) * width + i);
        finish(part.sample, part.first_target, first + i, sums);
    }
}

}  // namespace camfast::cuda
