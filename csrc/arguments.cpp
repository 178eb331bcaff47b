#include "arguments.h"

#include <limits>

namespace camfast {
namespace {

constexpr const char* kFloats = "is not float32 (0), float64 (1), bfloat16 (2) or float16 (3)";

template <class AnyView>
Status check_view(const char* name, const AnyView& view, int rank) noexcept {
    if (element_size(view.dtype) == 0) return invalid(name, "has an unknown dtype");
    if (view.rank != rank) return invalid(name, "has the wrong number of axes");
    std::int64_t bytes = element_size(view.dtype);
    bool empty = false;
    for (int i = 0; i < rank; ++i) {
        if (view.sizes[i] < 0) return invalid(name, "has a negative size");
        empty |= view.sizes[i] == 0;
    }
    for (int i = 0; i < rank && !empty; ++i) {
        if (view.sizes[i] > std::numeric_limits<std::int64_t>::max() / bytes)
            return invalid(name, "has sizes whose product is no 64-bit number");
        bytes *= view.sizes[i];
    }
    if (!empty && !view.data) return invalid(name, "is a null pointer, but not empty");
    return {};
}

}  // namespace

std::int64_t product(const std::int64_t (&sizes)[3]) noexcept {
    std::int64_t result = 1;
    for (const std::int64_t size : sizes) {
        if (size == 0) return 0;
        if (result > std::numeric_limits<std::int64_t>::max() / size) result = -1;
        result *= result < 0 ? 1 : size;
    }
    return result;
}

Status check_shape(const char* name, const View& view, int rank) noexcept {
    return check_view(name, view, rank);
}

Status check_input(const char* name, const View& view, int rank) noexcept {
    return is_float(view.dtype) ? check_view(name, view, rank) : invalid(name, kFloats);
}

Status check_contiguous(const char* name, const View& view, int first) noexcept {
    // an empty view's other sizes may have a product that is no 64-bit number
    for (int axis = 0; axis < view.rank; ++axis)
        if (view.sizes[axis] == 0) return {};
    std::int64_t expected = 1;
    bool contiguous = true;
    for (int axis = view.rank - 1; axis >= first; --axis) {
        if (view.sizes[axis] > 1) contiguous &= view.strides[axis] == expected;
        expected *= view.sizes[axis];
    }
    if (contiguous) return {};
    return invalid(name, first == 0
                             ? "has strides that leave gaps or another order: make it contiguous"
                             : "has strides that leave gaps or another order behind the first axis: make it "
                               "contiguous there");
}

Status check_output(const char* name, const MutableView& view, DType dtype,
                    const std::int64_t (&sizes)[3]) noexcept {
    if (const Status status = check_view(name, view, 3); !status.ok()) return status;
    if (view.dtype != accumulator(dtype))
        return invalid(name, "is float64 for float64 inputs, float32 for all others");
    for (int i = 0; i < 3; ++i)
        if (view.sizes[i] != sizes[i]) return invalid(name, "has sizes that do not fit the inputs");
    if (view.strides[2] != 1 && sizes[2] > 1) return invalid(name, "has a last stride other than 1");
    return {};
}

Status check_pair(const View& activations, const View* gradients, std::int64_t targets) noexcept {
    if (const Status status = check_input("activations", activations, 3); !status.ok()) return status;
    if (!gradients) return {};
    const View& a = activations;
    const View& g = *gradients;
    if (const Status status = check_input("gradients", g, 4); !status.ok()) return status;
    if (g.dtype != a.dtype) return invalid("gradients", "has another dtype than the activations");
    if (g.sizes[0] != targets || g.sizes[1] != a.sizes[0] || g.sizes[2] != a.sizes[1] ||
        g.sizes[3] != a.sizes[2])
        return invalid("gradients", "has sizes that do not fit the activations");
    return {};
}

}  // namespace camfast
