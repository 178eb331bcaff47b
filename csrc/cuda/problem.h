/// Activations and gradients as the kernels take them: addresses, strides, and which kernel reads them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "arguments.h"
#include "camfast/cuda/stream.h"

namespace camfast::cuda {

/// A (N, C, P) or G (T, N, C, P) with strides in elements; t is 0 for A.
struct Source {
    const void* data = nullptr;
    std::int64_t t = 0, n = 0, c = 0, p = 0;
};

/// Which axis of A and G is adjacent in memory.
enum class Adjacent { positions, channels };

struct Problem {
    DType dtype;
    bool packed;        ///< rows of adjacent elements can be read 16 aligned bytes at a time
    Adjacent adjacent;  ///< which rows; positions where nothing is packed
    std::int64_t t, n, c, p;
    Source activations, gradients;

    std::int64_t result_bytes() const noexcept { return element_size(accumulator(dtype)); }
    int packet() const noexcept { return static_cast<int>(16 / element_size(dtype)); }
};

/// Checks A and, where not null, G. `targets` is their number.
Status make_problem(const View& activations, const View* gradients, std::int64_t targets,
                    Problem& problem) noexcept;

/// Whether the views but for their addresses, and the targets, are those of a problem.
bool is_problem(const View& activations, const View* gradients, std::int64_t targets) noexcept;

/// The same without checks; null addresses count as aligned.
Problem describe(const View& activations, const View* gradients, std::int64_t targets) noexcept;

/// The problem as it is where an address turns out not to be aligned.
Problem unpacked(Problem problem) noexcept;

/// Checks the workspace against what a call wants.
Status check_workspace(const Workspace& workspace, const WorkspaceSize& wanted) noexcept;

inline WorkspaceSize larger(const WorkspaceSize& a, const WorkspaceSize& b) noexcept {
    return {std::max(a.scratch_bytes, b.scratch_bytes), std::max(a.counter_count, b.counter_count)};
}

/// `bytes` off the front of a workspace's scratch, which has been checked; both remain aligned.
void* take(Workspace& workspace, std::int64_t bytes) noexcept;
constexpr std::int64_t taken(std::int64_t bytes) noexcept {
    return (bytes + 15) / 16 * 16;
}

}  // namespace camfast::cuda
