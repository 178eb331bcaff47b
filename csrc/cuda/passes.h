/// The passes over activations and gradients of which the ops are made, as launches.
///
/// Each *_size says what its pass wants of the workspace; the passes themselves take what has been checked.
#pragma once

#include "camfast/channel_weights.h"
#include "camfast/product_sum.h"
#include "cuda/problem.h"

namespace camfast::cuda {

/// Weights (N, T, C) of the result type, adjacent over the last.
struct Weights {
    void* data;
    std::int64_t n, t;
};

WorkspaceSize weights_pass_size(const Problem& problem, WeightMethod method) noexcept;

/// `ill` is null, or holds the (N, T) flags; all of them are written.
Status weights_pass(const Problem& problem, WeightMethod method, const Weights& weights, std::uint8_t* ill,
                    Workspace workspace, const Stream& stream) noexcept;

WorkspaceSize weighted_sum_pass_size(const Problem& problem) noexcept;

Status weighted_sum_pass(const Problem& problem, const Weights& weights, bool relu, const MutableView& grid,
                         Workspace workspace, const Stream& stream) noexcept;

WorkspaceSize product_sum_pass_size(const Problem& problem) noexcept;

Status product_sum_pass(const Problem& problem, Rectify rectify, bool relu, const MutableView& grid,
                        Workspace workspace, const Stream& stream) noexcept;

/// Weights and map in one launch, of maps that a block can hold. `weights` may have null data.
bool fits_a_block(const Problem& problem) noexcept;
WorkspaceSize held_pass_size(const Problem& problem) noexcept;

Status held_pass(const Problem& problem, WeightMethod method, bool relu, const Weights& weights,
                 std::uint8_t* ill, const MutableView& grid, Workspace workspace,
                 const Stream& stream) noexcept;

/// Weights and map of large maps, A read for the second time from the second-level cache.
bool worth_chunks(const Problem& problem, WeightMethod method, int device) noexcept;
WorkspaceSize chunked_pass_size(const Problem& problem, WeightMethod method, int device) noexcept;

Status chunked_pass(const Problem& problem, WeightMethod method, bool relu, const Weights& weights,
                    std::uint8_t* ill, const MutableView& grid, Workspace workspace,
                    const Stream& stream) noexcept;

}  // namespace camfast::cuda
