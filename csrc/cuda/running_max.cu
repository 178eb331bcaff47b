#include <algorithm>

#include "arguments.h"
#include "camfast/cuda/running_max.h"
#include "cuda/dispatch.h"
#include "cuda/launch.h"
#include "cuda/vector_access.cuh"

namespace camfast::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMostBlocks = std::int64_t{1} << 30;

/// Adjacent elements that a thread takes at a time: 16 bytes of the index.
constexpr int kPer = 4;

template <class T>
struct alignas(kPer * sizeof(T) < 16 ? kPer * sizeof(T) : 16) Run {
    T elements[kPer];
};

template <class Pointer>
struct Plane {
    Pointer* data;
    std::int64_t stride;
};

template <class T>
struct Planes {
    Plane<const Accumulator<T>> values;
    Plane<const std::int32_t> index;
    Plane<const T> candidate;
    Plane<Accumulator<T>> values_out;
    Plane<std::int32_t> index_out;
    const std::int32_t* units;
    std::int64_t units_stride;
    std::int32_t unit;
    std::int64_t samples, positions;
};

template <class Real>
__device__ bool replaces(Real candidate, Real value) {
    return candidate > value || (candidate != candidate && value == value);
}

/// Outputs may be the inputs: an element is read and written by the same thread.
template <class T, bool kPacked>
__global__ void __launch_bounds__(kThreads) keep_larger(const Planes<T> planes) {
    using Real = Accumulator<T>;
    constexpr int kStep = kPacked ? kPer : 1;
    const std::int64_t runs = planes.positions / kStep;
    const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
         i < planes.samples * runs; i += step) {
        const std::int64_t n = i / runs, p = i % runs * kStep;
        const std::int32_t unit = planes.units ? planes.units[n * planes.units_stride] : planes.unit;
        const Real* const values = planes.values.data + n * planes.values.stride + p;
        const std::int32_t* const index = planes.index.data + n * planes.index.stride + p;
        const T* const candidates = planes.candidate.data + n * planes.candidate.stride + p;
        Real* const values_out = planes.values_out.data + n * planes.values_out.stride + p;
        std::int32_t* const index_out = planes.index_out.data + n * planes.index_out.stride + p;
        if constexpr (kPacked) {
            Run<Real> best = *reinterpret_cast<const Run<Real>*>(values);
            Run<std::int32_t> which = *reinterpret_cast<const Run<std::int32_t>*>(index);
            const Run<T> candidate = *reinterpret_cast<const Run<T>*>(candidates);
#pragma unroll
            for (int j = 0; j < kPer; ++j) {
                const Real value = widen(candidate.elements[j]);
                const bool better = replaces(value, best.elements[j]);
                best.elements[j] = better ? value : best.elements[j];
                which.elements[j] = better ? unit : which.elements[j];
            }
            *reinterpret_cast<Run<Real>*>(values_out) = best;
            *reinterpret_cast<Run<std::int32_t>*>(index_out) = which;
        } else {
            const Real value = widen(*candidates), before = *values;
            const std::int32_t of = *index;
            const bool better = replaces(value, before);
            *values_out = better ? value : before;
            *index_out = better ? unit : of;
        }
    }
}

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

/// Whether each row can be read in runs.
template <class AnyView>
bool whole_runs(const AnyView& view) noexcept {
    const std::int64_t element = element_size(view.dtype);
    const std::int64_t bytes = std::min<std::int64_t>(16, kPer * element);
    return reinterpret_cast<std::uintptr_t>(view.data) % static_cast<std::uint64_t>(bytes) == 0 &&
           (view.sizes[0] <= 1 || view.strides[0] % kPer == 0) && view.sizes[1] % kPer == 0;
}

}  // namespace

Status running_max(const View& values, const View& index, const View& candidate, const View& units,
                   std::int32_t unit, const MutableView& values_out, const MutableView& index_out,
                   const Stream& stream) noexcept {
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
    if (units.data && (units.dtype != DType::int32 || units.rank != 1 || units.sizes[0] != sizes.n))
        return invalid("units", "is not int32 with one number for each sample");
    const bool packed = whole_runs(values) && whole_runs(index) && whole_runs(candidate) &&
                        whole_runs(values_out) && whole_runs(index_out);
    const std::int64_t items = sizes.n * sizes.p / (packed ? kPer : 1);
    return with_element(candidate.dtype, [&](auto element) noexcept {
        using T = typename decltype(element)::type;
        using Real = Accumulator<T>;
        const Planes<T> arguments{{static_cast<const Real*>(values.data), values.strides[0]},
                                  {static_cast<const std::int32_t*>(index.data), index.strides[0]},
                                  {static_cast<const T*>(candidate.data), candidate.strides[0]},
                                  {static_cast<Real*>(values_out.data), values_out.strides[0]},
                                  {static_cast<std::int32_t*>(index_out.data), index_out.strides[0]},
                                  static_cast<const std::int32_t*>(units.data),
                                  units.strides[0],
                                  unit,
                                  sizes.n,
                                  sizes.p};
        return with_flag(packed, [&](auto flag) noexcept {
            return launch("running_max", keep_larger<T, decltype(flag)::value>,
                          {std::min(ceil_div(items, kThreads), kMostBlocks), kThreads}, stream, arguments);
        });
    });
}

}  // namespace camfast::cuda
