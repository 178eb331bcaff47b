/// Weights and map of whole maps in one launch: a block holds the positions of a few channels at a time in
/// registers.
///
/// The block's threads form teams; each team takes four packets a thread of A and G (of four channels, two or
/// one), sums over the positions, and adds weight times A to the positions' sums, with A still in registers.
/// Teams are added up through shared memory, and blocks of one map by the last of them to finish; both in one
/// order.
#pragma once

#include <algorithm>

#include "cuda/sums.cuh"
#include "cuda/weight_terms.cuh"

namespace camfast::cuda {

/// Packets of A that a thread holds.
constexpr int kHeldPackets = 4;
/// Blocks that share a map.
constexpr std::int64_t kMaxHeldGroups = 32;

struct HeldPlan {
    std::int64_t samples, targets, channels, positions;
    std::int64_t groups, per_group;  ///< blocks of one map, and their channels
    int team;                        ///< threads
    int vectors;                     ///< packets of one channel in a thread

    std::int64_t blocks() const noexcept { return samples * targets * groups; }
    /// Sums that a block leaves for the last one, its flag behind them.
    std::int64_t part(int packet) const noexcept {
        return static_cast<std::int64_t>(team) * vectors * packet + 1;
    }
};

inline HeldPlan plan_held(std::int64_t samples, std::int64_t targets, std::int64_t channels,
                          std::int64_t positions, int packet) noexcept {
    HeldPlan plan{samples, targets, channels, positions, 1, channels, 32, 1};
    const std::int64_t packets = std::max<std::int64_t>(1, ceil_div(positions, packet));
    while (packets > static_cast<std::int64_t>(kSumThreads) * plan.vectors) plan.vectors *= 2;
    while (packets > static_cast<std::int64_t>(plan.team) * plan.vectors) plan.team *= 2;
    const std::int64_t step = kSumThreads / plan.team * (kHeldPackets / plan.vectors);  // channels of a round
    const std::int64_t wanted = ceil_div(kWantedBlocks, std::max<std::int64_t>(1, samples * targets));
    const std::int64_t groups =
        std::clamp<std::int64_t>(std::min(wanted, ceil_div(channels, step)), 1, kMaxHeldGroups);
    plan.per_group = std::max<std::int64_t>(1, ceil_div(ceil_div(channels, groups), step) * step);
    plan.groups = std::max<std::int64_t>(1, ceil_div(channels, plan.per_group));
    return plan;
}

/// Sums of kCount values over the threads of a team, the same in each. `turn` alternates from call to call.
template <int kCount, class Real>
__device__ inline void team_sums(Real (&values)[kCount], int team, Real* shared, int& turn) {
    const int warp = static_cast<int>(threadIdx.x) / 32, warps = team / 32;
    const int first = warp / warps * warps;
#pragma unroll
    for (int i = 0; i < kCount; ++i) values[i] = warp_sum(values[i]);
    if (warps == 1) return;
    // Two buffers by turns: nobody writes one again before all have passed the barrier behind its last
    // reading.
    Real* const buffer = shared + turn * kCount * (kSumThreads / 32);
    turn ^= 1;
    if (threadIdx.x % 32 == 0) {
#pragma unroll
        for (int i = 0; i < kCount; ++i) buffer[i * (kSumThreads / 32) + warp] = values[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
        Real sum = buffer[i * (kSumThreads / 32) + first];
        for (int w = 1; w < warps; ++w) sum += buffer[i * (kSumThreads / 32) + first + w];
        values[i] = sum;
    }
}

/// What a round of team_sums may want, and after it the sums of the other teams.
template <class T>
constexpr std::size_t held_shared_bytes() noexcept {
    return sizeof(Accumulator<T>) * kSumThreads * kHeldPackets * kPacket<T>;
}

template <class T, class Access, int kVectors>
__global__ void __launch_bounds__(kSumThreads, Access::kPacked ? 2 : 1)
    held_cam_kernel(const __grid_constant__ HeldPlan plan, const __grid_constant__ Matrix<T> activations,
                    const __grid_constant__ Matrix<T> gradients, const WeightMethod method,
                    const __grid_constant__ WeightsOut<Accumulator<T>> weights,
                    const __grid_constant__ MapFinish<Accumulator<T>, 1> map,
                    const SumParts<Accumulator<T>> parts) {
    using Real = Accumulator<T>;
    constexpr int kPer = kPacket<T>;
    constexpr int kBatch = kHeldPackets / kVectors;
    constexpr int kSums = kActivationSums + 1;
    const auto groups = static_cast<unsigned>(plan.groups), targets = static_cast<unsigned>(plan.targets);
    const std::int64_t group = blockIdx.x % groups, owner = blockIdx.x / groups;
    const std::int64_t target = blockIdx.x / groups % targets, sample = blockIdx.x / groups / targets;
    const int lane = static_cast<int>(threadIdx.x) % plan.team;
    const int team = static_cast<int>(threadIdx.x) / plan.team;
    const int teams = kSumThreads / plan.team;
    Real* const shared = shared_memory<Real>();
    int turn = 0;

    const T* const a = activations.at(sample, 0, 1);
    const T* const g = gradients.at(sample, target, plan.targets);
    Place places[kVectors];
#pragma unroll
    for (int v = 0; v < kVectors; ++v)
        places[v] = {static_cast<std::int64_t>(v) * plan.team * kPer + Access::column(lane, plan.team, 0),
                     plan.positions, plan.team};
    const auto load = [&](const T* row, std::int64_t stride, const Place& place) {
        return Access::holds(place) ? Access::load(row, stride, place) : Packet<T>{};
    };

    Real sums[kVectors][kPer] = {};
    bool ill = false;
    const std::int64_t end = min((group + 1) * plan.per_group, plan.channels);
    for (std::int64_t round = group * plan.per_group; round < end; round += teams * kBatch) {
        const std::int64_t first = round + team * kBatch;
        Packet<T> held[kBatch][kVectors], gradient[kBatch][kVectors];
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
            const std::int64_t channel = min(first + b, end - 1);
#pragma unroll
            for (int v = 0; v < kVectors; ++v) {
                held[b][v] = load(a + channel * activations.row, activations.column, places[v]);
                gradient[b][v] = load(g + channel * gradients.row, gradients.column, places[v]);
            }
        }
        Real totals[kBatch * kSums] = {};  // S, sum |A|, and the sum of G or of G A, for each channel
#pragma unroll
        for (int b = 0; b < kBatch; ++b)
#pragma unroll
            for (int v = 0; v < kVectors; ++v)
#pragma unroll
                for (int i = 0; i < kPer; ++i) {
                    const Real value = widen(held[b][v].elements[i]);
                    const Real factor = method == WeightMethod::gradcam ? Real{1} : value;
                    totals[b * kSums] += value;
                    totals[b * kSums + 1] += magnitude(value);
                    totals[b * kSums + 2] += factor * widen(gradient[b][v].elements[i]);
                }
        team_sums(totals, plan.team, shared, turn);
        Real near_pole[kBatch] = {};
        if (method == WeightMethod::gradcampp) {
            Real alphas[2 * kBatch] = {};
#pragma unroll
            for (int b = 0; b < kBatch; ++b)
#pragma unroll
                for (int v = 0; v < kVectors; ++v)
#pragma unroll
                    for (int i = 0; i < kPer; ++i)
                        add_alpha(widen(gradient[b][v].elements[i]), totals[b * kSums], alphas[2 * b],
                                  alphas[2 * b + 1]);
            team_sums(alphas, plan.team, shared + 2 * kBatch * kSums * (kSumThreads / 32), turn);
#pragma unroll
            for (int b = 0; b < kBatch; ++b) {
                totals[b * kSums + 2] = alphas[2 * b];
                near_pole[b] = alphas[2 * b + 1];
            }
        }
#pragma unroll
        for (int b = 0; b < kBatch; ++b) {
            if (first + b >= end) break;
            const Real w = weight(method, static_cast<Real>(max(plan.positions, std::int64_t{1})),
                                  totals[b * kSums], totals[b * kSums + 2]);
            if (method != WeightMethod::gradcam)
                ill |= cancels(totals[b * kSums], totals[b * kSums + 1]) || near_pole[b] > 0;
            if (lane == 0 && weights.weights)
                weights.weights[sample * weights.n + target * weights.t + first + b] = w;
#pragma unroll
            for (int v = 0; v < kVectors; ++v)
#pragma unroll
                for (int i = 0; i < kPer; ++i) sums[v][i] += w * widen(held[b][v].elements[i]);
        }
    }

    ill = __syncthreads_or(ill) != 0;  // and the shared memory is free for the sums of the teams
    if (teams > 1) {
#pragma unroll
        for (int v = 0; v < kVectors; ++v)
#pragma unroll
            for (int i = 0; i < kPer; ++i) shared[(v * kPer + i) * kSumThreads + threadIdx.x] = sums[v][i];
        __syncthreads();
#pragma unroll
        for (int v = 0; v < kVectors; ++v)
#pragma unroll
            for (int i = 0; i < kPer; ++i) {
                Real sum = shared[(v * kPer + i) * kSumThreads + lane];
                for (int other = 1; other < teams; ++other)
                    sum += shared[(v * kPer + i) * kSumThreads + other * plan.team + lane];
                sums[v][i] = sum;
            }
    }
    if (plan.groups > 1) {
        const std::int64_t part = static_cast<std::int64_t>(plan.team) * kVectors * kPer + 1;
        Real* const all = parts.data + owner * plan.groups * part;
        Real* const own = all + group * part;
        if (team == 0) {
#pragma unroll
            for (int v = 0; v < kVectors; ++v)
#pragma unroll
                for (int i = 0; i < kPer; ++i) own[(v * kPer + i) * plan.team + lane] = sums[v][i];
            if (lane == 0) own[part - 1] = ill ? Real{1} : Real{0};
        }
        if (!last_to_arrive(&parts.counters[owner], groups)) return;
        if (team == 0) {
#pragma unroll
            for (int v = 0; v < kVectors; ++v)
#pragma unroll
                for (int i = 0; i < kPer; ++i) sums[v][i] = 0;
            for (std::int64_t k = 0; k < plan.groups; ++k)
#pragma unroll
                for (int v = 0; v < kVectors; ++v)
#pragma unroll
                    for (int i = 0; i < kPer; ++i)
                        sums[v][i] += read_shared_result(all + k * part + (v * kPer + i) * plan.team + lane);
            for (std::int64_t k = 0; lane == 0 && k < plan.groups; ++k)
                ill |= read_shared_result(all + k * part + part - 1) > 0;
        }
    }
    if (team != 0) return;
#pragma unroll
    for (int v = 0; v < kVectors; ++v)
#pragma unroll
        for (int i = 0; i < kPer; ++i) {
            const std::int64_t position =
                static_cast<std::int64_t>(v) * plan.team * kPer + Access::column(lane, plan.team, i);
            const Real sum[1] = {sums[v][i]};
            if (position < plan.positions) map(sample, target, position, sum);
        }
    if (lane == 0 && weights.ill) weights.ill[sample * plan.targets + target] = ill ? 1 : 0;
}

}  // namespace camfast::cuda
