#include <limits>

#include "camfast/cuda/product_sum.h"
#include "cuda/columns.cuh"
#include "cuda/terms.cuh"

namespace camfast::cuda {
namespace {

/// Targets that share one reading of the activations, where there are several.
constexpr int kTargetGroup = 4;

ColumnsPlan plan(const Problem& problem) noexcept {
    const int packet = static_cast<int>(kPacketBytes / element_size(problem.dtype));
    return plan_columns(problem.n, problem.t, problem.t > 1 ? kTargetGroup : 1, problem.c, problem.p, packet);
}

WorkspaceSize workspace_size(const Problem& problem, const ColumnsPlan& plan) noexcept {
    if (plan.splits == 1) return {};
    const int packet = static_cast<int>(kPacketBytes / element_size(problem.dtype));
    const std::int64_t group = problem.t > 1 ? kTargetGroup : 1;
    return {plan.blocks() * plan.lanes * packet * group * element_size(accumulator(problem.dtype)),
            plan.counters()};
}

template <class Term, class Real>
Status run(const Problem& problem, Rectify rectify, const ColumnsPlan& plan, const ColumnsOut<Real>& out,
           const Stream& stream) noexcept {
    using T = typename Term::Element;
    constexpr Real kNone = -std::numeric_limits<Real>::infinity();
    const Source &a = problem.activations, &g = problem.gradients;
    const Term term{static_cast<const T*>(a.data),
                    static_cast<const T*>(g.data),
                    a.n,
                    a.c,
                    a.p,
                    g.t,
                    g.n,
                    g.c,
                    g.p,
                    rectify == Rectify::gradients ? Real{0} : kNone,
                    rectify == Rectify::product ? Real{0} : kNone};
    return launch("product_sum", sum_columns<Term>,
                  {plan.blocks(), kColumnThreads, columns_shared_bytes<Term>()}, stream, plan, term, out);
}

}  // namespace

WorkspaceSize product_sum_workspace(const View& activations, const View& gradients) noexcept {
    Problem problem{};
    problem.dtype = activations.dtype;
    problem.t = gradients.sizes[0];
    problem.n = activations.sizes[0];
    problem.c = activations.sizes[1];
    problem.p = activations.sizes[2];
    return workspace_size(problem, plan(problem));
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
    if (const Status status = check_output("out", grid, problem.dtype, sizes); !status.ok()) return status;
    const ColumnsPlan columns = plan(problem);
    if (const Status status = check_workspace(workspace, workspace_size(problem, columns)); !status.ok())
        return status;
    return with_element(problem.dtype, [&](auto element) noexcept {
        using T = typename decltype(element)::type;
        using Real = Accumulator<T>;
        const ColumnsOut<Real> out{static_cast<Real*>(grid.data),
                                   grid.strides[0],
                                   grid.strides[1],
                                   relu ? Real{0} : -std::numeric_limits<Real>::infinity(),
                                   static_cast<Real*>(workspace.scratch),
                                   workspace.counters};
        return with_flag(
            problem.packed && problem.adjacent == Adjacent::positions, [&](auto packed) noexcept {
                constexpr bool kPacked = decltype(packed)::value;
                return problem.t > 1
                           ? run<ProductTerm<T, kTargetGroup, kPacked>>(problem, rectify, columns, out,
                                                                        stream)
                           : run<ProductTerm<T, 1, kPacked>>(problem, rectify, columns, out, stream);
            });
    });
}

}  // namespace camfast::cuda
