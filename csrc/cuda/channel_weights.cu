#include <algorithm>

#include "camfast/cuda/channel_weights.h"
#include "cuda/passes.h"
#include "cuda/sum_launches.cuh"
#include "cuda/weight_terms.cuh"

namespace camfast::cuda {
namespace {

bool known(WeightMethod method) noexcept {
    return method >= WeightMethod::gradcam && method <= WeightMethod::respond;
}

template <class T>
WeightsOut<Accumulator<T>> weights_out(const Problem& problem, const Weights& weights,
                                       std::uint8_t* ill) noexcept {
    return {static_cast<Accumulator<T>*>(weights.data), weights.n, weights.t, ill, problem.t};
}

/// gradcam, xgradcam, respond: one launch.
template <class T, class Choice, bool kReadsActivations>
Status sums_to_weights(const Problem& problem, WeightMethod method, const Weights& weights, std::uint8_t* ill,
                       const Workspace& workspace, const Stream& stream) noexcept {
    using Term = WeightTerm<T, Choice::kTargets, typename Choice::template Access<T>, kReadsActivations>;
    using Real = typename Term::Real;
    const Term term(matrix<T>(problem.activations, problem.adjacent),
                    matrix<T>(problem.gradients, problem.adjacent));
    const WeightFinish<Real, Choice::kTargets, kReadsActivations> finish{
        method, static_cast<Real>(std::max<std::int64_t>(problem.p, 1)),
        weights_out<T>(problem, weights, ill)};
    return launch_sums<Choice::kByRows>("channel_weights", weight_plan(problem, problem.t), term, workspace,
                                        finish, stream);
}

/// gradcampp: S of each channel first, then alpha.
template <class T, class Choice>
Status alpha_to_weights(const Problem& problem, const Weights& weights, std::uint8_t* ill,
                        Workspace workspace, const Stream& stream) noexcept {
    using Access = typename Choice::template Access<T>;
    using Activations = WeightTerm<T, 0, Access, true>;
    using Alpha = AlphaTerm<T, Choice::kTargets, Access, Choice::kByRows>;
    using Real = typename Alpha::Real;
    Real* const sums = static_cast<Real*>(
        take(workspace, problem.n * problem.c * kActivationSums * static_cast<std::int64_t>(sizeof(Real))));
    const Matrix<T> a = matrix<T>(problem.activations, problem.adjacent);
    const Status status =
        launch_sums<Choice::kByRows>("channel_weights", weight_plan(problem, 1), Activations(a, a), workspace,
                                     ActivationFinish<Real>{sums, problem.c}, stream);
    if (!status.ok()) return status;
    return launch_sums<Choice::kByRows>(
        "channel_weights", weight_plan(problem, problem.t),
        Alpha(matrix<T>(problem.gradients, problem.adjacent), sums, problem.c), workspace,
        AlphaFinish<Real, Choice::kTargets>{sums, problem.c, weights_out<T>(problem, weights, ill)}, stream);
}

}  // namespace

WorkspaceSize weights_pass_size(const Problem& problem, WeightMethod method) noexcept {
    const SumPlan plan = weight_plan(problem, problem.t);
    const bool by_rows = !map_by_rows(problem);
    const int group = target_group(problem);
    if (method != WeightMethod::gradcampp)
        return parts_size(problem, plan, by_rows,
                          method == WeightMethod::gradcam ? group : kActivationSums + group);
    WorkspaceSize size = larger(parts_size(problem, weight_plan(problem, 1), by_rows, kActivationSums),
                                parts_size(problem, plan, by_rows, 2 * group));
    size.scratch_bytes += taken(problem.n * problem.c * kActivationSums * problem.result_bytes());
    return size;
}

Status weights_pass(const Problem& problem, WeightMethod method, const Weights& weights, std::uint8_t* ill,
                    Workspace workspace, const Stream& stream) noexcept {
    if (ill)
        if (const Status status = clear("channel_weights", ill, problem.n * problem.t, stream); !status.ok())
            return status;
    return with_element(problem.dtype, [&](auto element) noexcept {
        return with_weight_choice(problem, [&](auto choice) noexcept {
            using T = typename decltype(element)::type;
            using Choice = decltype(choice);
            switch (method) {
                case WeightMethod::gradcam:
                    return sums_to_weights<T, Choice, false>(problem, method, weights, ill, workspace,
                                                             stream);
                case WeightMethod::gradcampp:
                    return alpha_to_weights<T, Choice>(problem, weights, ill, workspace, stream);
                default:
                    return sums_to_weights<T, Choice, true>(problem, method, weights, ill, workspace, stream);
            }
        });
    });
}

WorkspaceSize channel_weights_workspace(WeightMethod method, const View& activations,
                                        const View& gradients) noexcept {
    if (!known(method) || !is_problem(activations, &gradients, gradients.sizes[0])) return {};
    const Problem problem = describe(activations, &gradients, gradients.sizes[0]);
    return larger(weights_pass_size(problem, method), weights_pass_size(unpacked(problem), method));
}

Status channel_weights(WeightMethod method, const View& activations, const View& gradients,
                       const MutableView& weights, std::uint8_t* ill_conditioned, const Workspace& workspace,
                       const Stream& stream) noexcept {
    if (!known(method))
        return invalid("method", "unknown; it is gradcam (0), gradcampp (1), xgradcam (2) or respond (3)");
    Problem problem;
    if (const Status status = make_problem(activations, &gradients, gradients.sizes[0], problem);
        !status.ok())
        return status;
    const std::int64_t sizes[3] = {problem.n, problem.t, problem.c};
    if (const Status status = check_output("weights", weights, problem.dtype, sizes); !status.ok())
        return status;
    if (const Status status = check_workspace(workspace, weights_pass_size(problem, method)); !status.ok())
        return status;
    return weights_pass(problem, method, {weights.data, weights.strides[0], weights.strides[1]},
                        ill_conditioned, workspace, stream);
}

}  // namespace camfast::cuda
