/// The passes over activations and gradients of which the ops are made.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "camfast/channel_weights.h"
#include "camfast/product_sum.h"
#include "cpu/problem.h"

namespace camfast::cpu {

/// Below this many elements of A and G an op takes less time than waking a thread.
constexpr std::int64_t kSerialElements = 1 << 15;

/// More than any machine has, and few enough for sums of them to be ints.
constexpr int kMostThreads = 1 << 12;

/// Threads that are worth their while, 1 or more, whatever a caller asks for.
inline int useful_threads(std::int64_t elements, int threads) noexcept {
    return elements < kSerialElements ? 1 : std::clamp(threads, 1, kMostThreads);
}

/// Bytes of scratch that a weights pass over so many samples and channels wants.
std::size_t weights_scratch_bytes(const Problem& problem, std::int64_t samples,
                                  std::int64_t channels) noexcept;

/// Where weights go: to (N, T, C) contiguous, which weighted_sum_pass reads, and to an output that may be
/// null.
struct WeightsOut {
    char* weights;
    Output copy;
};

/// Weights of some samples and channels. `ill` is null, or holds the (N, T) flags, set to 1 where met and
/// left alone elsewhere.
void weights_pass(const Problem& problem, WeightMethod method, Range samples, Range channels,
                  WeightsOut weights, std::uint8_t* ill, double* scratch, int threads) noexcept;

/// What a pass over channels does to the grid: the first writes, later ones add, the last rectifies where
/// asked.
struct GridUpdate {
    bool add;
    bool relu;
};

/// grid (+)= sum over some channels of weights times activations, for some samples. Weights are (N, T, C)
/// contiguous, in the type of results.
void weighted_sum_pass(const Problem& problem, const char* weights, Range samples, Range channels,
                       Output grid, GridUpdate update, int threads) noexcept;

/// grid = sum over all channels of rectified gradients times activations.
void product_sum_pass(const Problem& problem, Rectify rectify, Output grid, bool relu, int threads) noexcept;

}  // namespace camfast::cpu
