#include "camfast/cuda/weighted_sum.h"
#include "cuda/passes.h"
#include "cuda/sum_launches.cuh"

namespace camfast::cuda {

WorkspaceSize weighted_sum_pass_size(const Problem& problem) noexcept {
    return parts_size(problem, map_plan(problem), map_by_rows(problem), target_group(problem));
}

Status weighted_sum_pass(const Problem& problem, const Weights& weights, bool relu, const MutableView& grid,
                         Workspace workspace, const Stream& stream) noexcept {
    return with_element(problem.dtype, [&](auto element) noexcept {
        return with_map_choice(problem, [&](auto choice) noexcept {
            using T = typename decltype(element)::type;
            using Choice = decltype(choice);
            using Term =
                WeightedTerm<T, Choice::kTargets, typename Choice::template Access<T>, !Choice::kByRows>;
            using Real = typename Term::Real;
            const Term term(matrix<T>(problem.activations, problem.adjacent),
                            static_cast<const Real*>(weights.data), weights.n, weights.t);
            return launch_sums<Choice::kByRows>("weighted_sum", map_plan(problem), term, workspace,
                                                map_finish<Term::kSums, Real>(grid, problem, relu), stream);
        });
    });
}

WorkspaceSize weighted_sum_workspace(const View& activations, std::int64_t targets) noexcept {
    if (!is_problem(activations, nullptr, targets)) return {};
    const Problem problem = describe(activations, nullptr, targets);
    return larger(weighted_sum_pass_size(problem), weighted_sum_pass_size(unpacked(problem)));
}

Status weighted_sum(const View& activations, const View& weights, bool relu, const MutableView& grid,
                    const Workspace& workspace, const Stream& stream) noexcept {
    if (const Status status = check_input("weights", weights, 3); !status.ok()) return status;
    Problem problem;
    if (const Status status = make_problem(activations, nullptr, weights.sizes[1], problem); !status.ok())
        return status;
    if (weights.dtype != accumulator(problem.dtype))
        return invalid("weights", "is float64 for float64 activations, float32 for all others");
    if (weights.sizes[0] != problem.n || weights.sizes[2] != problem.c)
        return invalid("weights", "has sizes that do not fit the activations");
    if (const Status status = check_contiguous("weights", weights); !status.ok()) return status;
    const std::int64_t sizes[3] = {problem.n, problem.t, problem.p};
    if (const Status status = check_output("grid", grid, problem.dtype, sizes); !status.ok()) return status;
    if (const Status status = check_workspace(workspace, weighted_sum_pass_size(problem)); !status.ok())
        return status;
    const Weights given{const_cast<void*>(weights.data), problem.t * problem.c, problem.c};
    return weighted_sum_pass(problem, given, relu, grid, workspace, stream);
}

}  // namespace camfast::cuda
