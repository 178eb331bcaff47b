#include "cuda/held_cam.cuh"
#include "cuda/passes.h"
#include "cuda/sum_launches.cuh"

namespace camfast::cuda {
namespace {

HeldPlan plan_of(const Problem& problem) noexcept {
    return plan_held(problem.n, problem.t, problem.c, problem.p, problem.packet());
}

template <class T, class Access>
Status run_held(const HeldPlan& plan, const Problem& problem, WeightMethod method,
                const WeightsOut<Accumulator<T>>& weights, const MapFinish<Accumulator<T>, 1>& map,
                const Workspace& workspace, const Stream& stream) noexcept {
    const Matrix<T> a = matrix<T>(problem.activations, Adjacent::positions);
    const Matrix<T> g = matrix<T>(problem.gradients, Adjacent::positions);
    const SumParts<Accumulator<T>> parts{static_cast<Accumulator<T>*>(workspace.scratch), workspace.counters};
    const Shape shape{plan.blocks(), kSumThreads, held_shared_bytes<T>()};
    switch (plan.vectors) {
        case 1:
            return launch("fused_cam", held_cam_kernel<T, Access, 1>, shape, stream, plan, a, g, method,
                          weights, map, parts);
        case 2:
            return launch("fused_cam", held_cam_kernel<T, Access, 2>, shape, stream, plan, a, g, method,
                          weights, map, parts);
        default:
            return launch("fused_cam", held_cam_kernel<T, Access, 4>, shape, stream, plan, a, g, method,
                          weights, map, parts);
    }
}

}  // namespace

bool fits_a_block(const Problem& problem) noexcept {
    // Adjacent channels of one position would be spread over blocks: the passes read them whole.
    return problem.p <= std::int64_t{kSumThreads} * kHeldPackets * problem.packet() &&
           problem.adjacent == Adjacent::positions;
}

WorkspaceSize held_pass_size(const Problem& problem) noexcept {
    const HeldPlan plan = plan_of(problem);
    if (plan.groups == 1) return {};
    return {taken(plan.blocks() * plan.part(problem.packet()) * problem.result_bytes()),
            problem.n * problem.t};
}

Status held_pass(const Problem& problem, WeightMethod method, bool relu, const Weights& weights,
                 std::uint8_t* ill, const MutableView& grid, Workspace workspace,
                 const Stream& stream) noexcept {
    return with_element(problem.dtype, [&](auto element) noexcept {
        using T = typename decltype(element)::type;
        using Real = Accumulator<T>;
        const WeightsOut<Real> out{static_cast<Real*>(weights.data), weights.n, weights.t, ill, problem.t};
        const auto map = map_finish<1, Real>(grid, problem, relu);
        return problem.packed ? run_held<T, PackedAccess<T>>(plan_of(problem), problem, method, out, map,
                                                             workspace, stream)
                              : run_held<T, ZeroFilledAccess<T>>(plan_of(problem), problem, method, out, map,
                                                                 workspace, stream);
    });
}

}  // namespace camfast::cuda
