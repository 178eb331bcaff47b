/// Activations and gradients as the kernels take them: addresses, strides, and which kernel reads them.
#pragma once

#include <cstdint>

#include "arguments.h"
#include "camfast/cuda/stream.h"

namespace camfast::cuda {

/// A (N, C, P) or G (T, N, C, P) with strides in elements; t is 0 for A.
struct Source {
    const void* data = nullptr;
    std::int64_t t = 0, n = 0, c = 0, p = 0;
};

/// Which axis of A and G is adjacent in memory: the other one is looped over.
enum class Adjacent { positions, channels };

struct Problem {
    DType dtype;
    Adjacent adjacent;
    bool packed;  ///< every row of adjacent elements can be read 16 aligned bytes at a time
    std::int64_t t, n, c, p;
    Source activations, gradients;
};

/// Checks A and, where not null, G. `targets` is their number.
Status make_problem(const View& activations, const View* gradients, std::int64_t targets,
                    Problem& problem) noexcept;

/// Checks the workspace against what a call wants.
Status check_workspace(const Workspace& workspace, const WorkspaceSize& wanted) noexcept;

}  // namespace camfast::cuda
