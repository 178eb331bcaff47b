#include "cpu/problem.h"

#include "cpu/isa.h"

namespace camfast::cpu {
namespace {

void choose_layout(Problem& problem) noexcept {
    const bool positions = problem.a_p == 1 && (!problem.gradients || problem.g_p == 1);
    const bool channels = problem.a_c == 1 && (!problem.gradients || problem.g_c == 1);
    problem.adjacent = !positions && channels ? Adjacent::channels : Adjacent::positions;
    problem.packs = !positions && !channels;
    problem.sums = &problem.tiles->layout[static_cast<int>(problem.adjacent)];
}

}  // namespace

Status make_problem(const View& activations, const View* gradients, std::int64_t targets,
                    Problem& problem) noexcept {
    if (const Status status = chosen().status; !status.ok()) return status;
    if (const Status status = check_pair(activations, gradients, targets); !status.ok()) return status;
    const auto& a = activations;
    problem = {};
    problem.tiles = &chosen().table.kernels[static_cast<int>(a.dtype)];
    problem.element = element_size(a.dtype);
    problem.result = element_size(accumulator(a.dtype));
    problem.t = targets;
    problem.n = a.sizes[0];
    problem.c = a.sizes[1];
    problem.p = a.sizes[2];
    problem.activations = static_cast<const char*>(a.data);
    problem.a_n = a.strides[0];
    problem.a_c = a.strides[1];
    problem.a_p = problem.p == 1 ? 1 : a.strides[2];
    if (!gradients) {
        choose_layout(problem);
        return {};
    }
    const auto& g = *gradients;
    problem.gradients = static_cast<const char*>(g.data);
    problem.g_t = g.strides[0];
    problem.g_n = g.strides[1];
    problem.g_c = g.strides[2];
    problem.g_p = problem.p == 1 ? 1 : g.strides[3];
    choose_layout(problem);
    return {};
}

}  // namespace camfast::cpu
