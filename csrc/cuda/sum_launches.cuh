/// Which kernel takes the sums of a problem, and its launch.
#pragma once

#include <limits>

#include "cuda/columns.cuh"
#include "cuda/dispatch.h"
#include "cuda/launch.h"
#include "cuda/rows.cuh"
#include "cuda/terms.cuh"

namespace camfast::cuda {

/// Targets of a term: several share a reading of A where it is packed.
inline int target_group(const Problem& problem) noexcept {
    return problem.packed && problem.t > 1 ? kTargetGroup : 1;
}

/// Sums over channels run down columns, and along rows where channels are adjacent.
inline bool map_by_rows(const Problem& problem) noexcept {
    return problem.adjacent == Adjacent::channels;
}

inline SumPlan map_plan(const Problem& problem) noexcept {
    return map_by_rows(problem) ? plan_rows(problem.n, problem.t, target_group(problem), problem.p, problem.c,
                                            problem.packet())
                                : plan_columns(problem.n, problem.t, target_group(problem), problem.c,
                                               problem.p, problem.packet());
}

/// Sums over positions run along rows, and down columns where channels are adjacent. `targets` is 1 for sums
/// of A alone.
inline SumPlan weight_plan(const Problem& problem, std::int64_t targets) noexcept {
    const int group = targets > 1 ? target_group(problem) : 1;
    return map_by_rows(problem)
               ? plan_columns(problem.n, targets, group, problem.p, problem.c, problem.packet())
               : plan_rows(problem.n, targets, group, problem.c, problem.p, problem.packet());
}

/// Workspace of the parts of sums, `sums` for each result.
inline WorkspaceSize parts_size(const Problem& problem, const SumPlan& plan, bool by_rows,
                                int sums) noexcept {
    if (plan.splits == 1) return {};
    const std::int64_t width = by_rows ? kSumThreads / plan.lanes : plan.lanes * problem.packet();
    return {taken(plan.blocks() * width * sums * problem.result_bytes()), plan.counters()};
}

template <bool kByRows, class Term, class Finish>
Status launch_sums(const char* name, const SumPlan& plan, const Term& term, const Workspace& workspace,
                   const Finish& finish, const Stream& stream) noexcept {
    const SumParts<typename Term::Real> parts{static_cast<typename Term::Real*>(workspace.scratch),
                                              workspace.counters};
    if constexpr (kByRows)
        return launch(name, row_sums_kernel<Term, Finish>,
                      {plan.blocks(), kSumThreads, rows_shared_bytes<Term>()}, stream, plan, term, parts,
                      finish);
    else
        return launch(name, column_sums_kernel<Term, Finish>,
                      {plan.blocks(), kSumThreads, columns_shared_bytes<Term>()}, stream, plan, term, parts,
                      finish);
}

template <class Real>
constexpr Real lowest(bool rectified) noexcept {
    return rectified ? Real{0} : -std::numeric_limits<Real>::infinity();
}

template <int kSums, class Real>
MapFinish<Real, kSums> map_finish(const MutableView& grid, const Problem& problem, bool relu) noexcept {
    return {static_cast<Real*>(grid.data),
            grid.strides[0],
            grid.strides[1],
            problem.t,
            lowest<Real>(relu),
            false};
}

/// How a term is compiled: targets, and how it reads. function(Choice<...>) for the problem's.
template <int kTargets_, bool kByRows_, template <class> class Access_>
struct Choice {
    static constexpr int kTargets = kTargets_;
    static constexpr bool kByRows = kByRows_;
    template <class T>
    using Access = Access_<T>;
};

template <class Function>
Status with_map_choice(const Problem& problem, Function function) noexcept {
    if (!problem.packed) return function(Choice<1, false, StridedAccess>{});
    if (map_by_rows(problem))
        return problem.t > 1 ? function(Choice<kTargetGroup, true, PackedAccess>{})
                             : function(Choice<1, true, PackedAccess>{});
    return problem.t > 1 ? function(Choice<kTargetGroup, false, PackedAccess>{})
                         : function(Choice<1, false, PackedAccess>{});
}

template <class Function>
Status with_weight_choice(const Problem& problem, Function function) noexcept {
    if (!problem.packed) return function(Choice<1, true, ZeroFilledAccess>{});
    if (map_by_rows(problem))
        return problem.t > 1 ? function(Choice<kTargetGroup, false, PackedAccess>{})
                             : function(Choice<1, false, PackedAccess>{});
    return problem.t > 1 ? function(Choice<kTargetGroup, true, PackedAccess>{})
                         : function(Choice<1, true, PackedAccess>{});
}

}  // namespace camfast::cuda
