#include "camfast/running_max.h"

#include <algorithm>

#include "cpu/isa.h"
#include "cpu/parallel.h"
#include "cpu/passes.h"

namespace camfast::cpu {
namespace {

/// Elements that a task compares.
constexpr std::int64_t kPieceElements = 1 << 14;

struct Sizes {
    std::int64_t n, p;
};

Status check_plane(const char* name, const View& view, DType dtype, Sizes sizes) noexcept {
    if (const Status status = check_shape(name, view, 2); !status.ok()) return status;
    if (view.dtype != dtype)
        return invalid(name, "has another dtype than candidate asks for: values as results, index int32");
    if (view.sizes[0] != sizes.n || view.sizes[1] != sizes.p)
        return invalid(name, "has other sizes than candidate");
    if (view.strides[1] != 1 && sizes.p > 1) return invalid(name, "has a last stride other than 1");
    return {};
}

template <class T, class AnyView>
T* row(const AnyView& view, std::int64_t n, std::int64_t p) noexcept {
    return static_cast<T*>(view.data) + (n * view.strides[0] + p) * element_size(view.dtype);
}

}  // namespace
}  // namespace camfast::cpu

namespace camfast {

Status running_max(const View& values, const View& index, const View& candidate, const View& units,
                   const MutableView& values_out, const MutableView& index_out, int threads) noexcept {
    using namespace cpu;
    if (const Status status = chosen().status; !status.ok()) return status;
    if (const Status status = check_input("candidate", candidate, 2); !status.ok()) return status;
    const Sizes sizes{candidate.sizes[0], candidate.sizes[1]};
    const DType result = accumulator(candidate.dtype);
    if (candidate.strides[1] != 1 && sizes.p > 1)
        return invalid("candidate", "has a last stride other than 1");
    const struct {
        const char* name;
        View view;
        DType dtype;
    } planes[] = {{"values", values, result},
                  {"index", index, DType::int32},
                  {"values_out", values_out, result},
                  {"index_out", index_out, DType::int32}};
    for (const auto& plane : planes)
        if (const Status status = check_plane(plane.name, plane.view, plane.dtype, sizes); !status.ok())
            return status;
    if (const Status status = check_shape("units", units, 1); !status.ok()) return status;
    if (units.dtype != DType::int32 || units.sizes[0] != sizes.n)
        return invalid("units", "is not int32 with one number for each sample");
    if (sizes.n == 0 || sizes.p == 0) return {};

    const auto keep = chosen().table.kernels[static_cast<int>(candidate.dtype)].keep_larger;
    const std::int64_t pieces = ceil_div(sizes.p, kPieceElements);
    parallel_for(sizes.n * pieces, useful_threads(sizes.n * sizes.p, threads), [&](std::int64_t item) {
        const std::int64_t n = item / pieces, p = item % pieces * kPieceElements;
        const auto unit = static_cast<const std::int32_t*>(units.data)[n * units.strides[0]];
        keep(row<const char>(values, n, p),
             reinterpret_cast<const std::int32_t*>(row<const char>(index, n, p)),
             row<const char>(candidate, n, p), unit, std::min(kPieceElements, sizes.p - p),
             row<char>(values_out, n, p), reinterpret_cast<std::int32_t*>(row<char>(index_out, n, p)));
    });
    return {};
}

}  // namespace camfast
