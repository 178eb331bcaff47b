#include "camfast/cuda/product_sum.h"
#include "cuda/passes.h"
#include "cuda/sum_launches.cuh"

namespace camfast::cuda {

WorkspaceSize product_sum_pass_size(const Problem& problem) noexcept {
    return parts_size(problem, map_plan(problem), map_by_rows(problem), target_group(problem));
}

Status product_sum_pass(const Problem& problem, Rectify rectify, bool relu, const MutableView& grid,
                        Workspace workspace, const Stream& stream) noexcept {
    return with_element(problem.dtype, [&](auto element) noexcept {
        return with_map_choice(problem, [&](auto choice) noexcept {
            using T = typename decltype(element)::type;
            using Choice = decltype(choice);
            using Term = ProductTerm<T, Choice::kTargets, typename Choice::template Access<T>>;
            using Real = typename Term::Real;
            const Term term(matrix<T>(problem.activations, problem.adjacent),
                            matrix<T>(problem.gradients, problem.adjacent),
                            lowest<Real>(rectify == Rectify::gradients),
                            lowest<Real>(rectify == Rectify::product));
            return launch_sums<Choice::kByRows>("product_sum", map_plan(problem), term, workspace,
                                                map_finish<Term::kSums, Real>(grid, problem, relu), stream);
        });
    });
}

WorkspaceSize product_sum_workspace(const View& activations, const View& gradients) noexcept {
    if (!is_problem(activations, &gradients, gradients.sizes[0])) return {};
    const Problem problem = describe(activations, &gradients, gradients.sizes[0]);
    return larger(product_sum_pass_size(problem), product_sum_pass_size(unpacked(problem)));
}

Status product_sum(Rectify rectify, const View& activations, const View& gradients, bool relu,
                   const MutableView& grid, const Workspace& workspace, const Stream& stream) noexcept {
    if (rectify < Rectify::none || rectify > Rectify::product)
        return invalid("rectify", "unknown; it is none (0), gradients (1) or product (2)");
    Problem problem;
    if (const Status status = make_problem(activations, &gradients, gradients.sizes[0], problem);
        !status.ok())
        return status;
    const std::int64_t sizes[3] = {problem.n, problem.t, problem.p};
    if (const Status status = check_output("grid", grid, problem.dtype, sizes); !status.ok()) return status;
    if (const Status status = check_workspace(workspace, product_sum_pass_size(problem)); !status.ok())
        return status;
    return product_sum_pass(problem, rectify, relu, grid, workspace, stream);
}

}  // namespace camfast::cuda
