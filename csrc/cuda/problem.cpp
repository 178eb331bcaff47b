#include "cuda/problem.h"

#include <limits>

namespace camfast::cuda {
namespace {

/// Bytes of one vector access of the kernels.
constexpr std::int64_t kAlignment = 16;

/// The strides that matter: axes of one element or none are never stepped along.
Source source(const void* data, std::int64_t t, const std::int64_t* sizes,
              const std::int64_t* strides) noexcept {
    const auto stride = [&](int axis) { return sizes[axis] > 1 ? strides[axis] : 0; };
    return {data, t, stride(0), stride(1), stride(2)};
}

/// Whether each row of `length` adjacent elements, `stride` being that of their axis, is whole aligned
/// packets.
bool packable(const Source& source, std::int64_t element, std::int64_t length, std::int64_t stride,
              std::int64_t row_stride) noexcept {
    const std::int64_t packet = kAlignment / element;
    return stride == 1 && length % packet == 0 && source.t % packet == 0 && source.n % packet == 0 &&
           row_stride % packet == 0 && reinterpret_cast<std::uintptr_t>(source.data) % kAlignment == 0;
}

/// Whether bytes can be counted of all arrays, those also that have some axes of an empty one.
bool countable(const View& activations, std::int64_t targets) noexcept {
    std::int64_t left = std::numeric_limits<std::int64_t>::max() / kAlignment;
    for (const std::int64_t size :
         {targets, activations.sizes[0], activations.sizes[1], activations.sizes[2]})
        left /= std::max<std::int64_t>(size, 1);
    return left > 0;
}

}  // namespace

Problem describe(const View& activations, const View* gradients, std::int64_t targets) noexcept {
    const View& a = activations;
    Problem problem{};
    problem.dtype = a.dtype;
    problem.t = targets;
    problem.n = a.sizes[0];
    problem.c = a.sizes[1];
    problem.p = a.sizes[2];
    problem.activations = source(a.data, 0, a.sizes, a.strides);
    if (gradients)
        problem.gradients = source(gradients->data, targets > 1 ? gradients->strides[0] : 0,
                                   gradients->sizes + 1, gradients->strides + 1);
    const Source& first = problem.activations;
    const Source& second = gradients ? problem.gradients : problem.activations;
    const std::int64_t element = element_size(a.dtype);
    const auto packs = [&](Adjacent adjacent) {
        const auto whole = [&](const Source& source) {
            return adjacent == Adjacent::positions ? packable(source, element, problem.p, source.p, source.c)
                                                   : packable(source, element, problem.c, source.c, source.p);
        };
        return whole(first) && whole(second);
    };
    problem.packed = packs(Adjacent::positions);
    if (!problem.packed && packs(Adjacent::channels)) {
        problem.packed = true;
        problem.adjacent = Adjacent::channels;
    }
    return problem;
}

Status make_problem(const View& activations, const View* gradients, std::int64_t targets,
                    Problem& problem) noexcept {
    if (const Status status = check_pair(activations, gradients, targets); !status.ok()) return status;
    if (!countable(activations, targets))
        return invalid("activations", "has sizes whose product with that of the targets is no 64-bit number");
    problem = describe(activations, gradients, targets);
    return {};
}

bool is_problem(const View& activations, const View* gradients, std::int64_t targets) noexcept {
    View a = activations, g = gradients ? *gradients : View{};
    a.data = g.data = &a;  // any address does
    return targets >= 0 && check_pair(a, gradients ? &g : nullptr, targets).ok() && countable(a, targets);
}

Problem unpacked(Problem problem) noexcept {
    problem.packed = false;
    problem.adjacent = Adjacent::positions;
    return problem;
}

Status check_workspace(const Workspace& workspace, const WorkspaceSize& wanted) noexcept {
    if (workspace.scratch_bytes < wanted.scratch_bytes || (wanted.scratch_bytes > 0 && !workspace.scratch))
        return invalid("scratch", "is smaller than the op's workspace function asks for");
    if (reinterpret_cast<std::uintptr_t>(workspace.scratch) % kAlignment != 0)
        return invalid("scratch", "is not aligned to 16 bytes");
    if (workspace.counter_count < wanted.counter_count || (wanted.counter_count > 0 && !workspace.counters))
        return invalid("counters", "are fewer than the op's workspace function asks for");
    return {};
}

void* take(Workspace& workspace, std::int64_t bytes) noexcept {
    void* const front = workspace.scratch;
    workspace.scratch = static_cast<char*>(front) + taken(bytes);
    workspace.scratch_bytes -= taken(bytes);
    return front;
}

}  // namespace camfast::cuda
