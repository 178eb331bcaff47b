#include "bindings/cuda_spatial.h"

#include "camfast/cuda/gaussian_upsample.h"
#include "camfast/cuda/linear_upsample.h"
#include "camfast/cuda/overlay.h"
#include "camfast/cuda/running_max.h"

namespace py = pybind11;

namespace camfast::bindings {
namespace {

using cuda::BandView;
using cuda::Level;
using cuda::Shading;

using Upsample = Status (*)(const View&, const MutableView&, const BandView (&)[3],
                            const cuda::Stream&) noexcept;

template <Upsample upsample>
void upsampled(int dtype, Int m, Address grid, Address first0, Address weights0, Int d0, Int o0, Int taps0,
               Address first1, Address weights1, Int d1, Int o1, Int taps1, Address first2, Address weights2,
               Int d2, Int o2, Int taps2, Address out, int device, Address stream) {
    const BandView bands[3] = {band(first0, weights0, d0, o0, taps0), band(first1, weights1, d1, o1, taps1),
                               band(first2, weights2, d2, o2, taps2)};
    raise_unless_ok(upsample(maps_view<View>(pointer(grid), static_cast<DType>(dtype), m, d0, d1, d2),
                             maps_view<MutableView>(mutable_pointer(out), results(dtype), m, o0, o1, o2),
                             bands, stream_of(device, stream)));
}

template <Upsample upsample>
void define_upsample(py::module_& module, const char* name) {
    using py::arg;
    module.def(name, upsampled<upsample>, arg("dtype"), arg("m"), arg("grid"), arg("first0"), arg("weights0"),
               arg("d0"), arg("o0"), arg("taps0"), arg("first1"), arg("weights1"), arg("d1"), arg("o1"),
               arg("taps1"), arg("first2"), arg("weights2"), arg("d2"), arg("o2"), arg("taps2"), arg("out"),
               arg("device"), arg("stream"));
}

Level level(double value, Address address) {
    return {value, static_cast<const float*>(pointer(address))};
}

void overlay(int image_dtype, Int n, Int h, Int w, Int channels, Address image, int heat_dtype, Address heat,
             Address first0, Address weights0, Int d0, Int o0, Int taps0, Address first1, Address weights1,
             Int d1, Int o1, Int taps1, Address table, double low, Address low_at, double high,
             Address high_at, double alpha, double black, double white, double threshold, Address out,
             Int out_sn, int device, Address stream) {
    const View pixels{pointer(image),
                      static_cast<DType>(image_dtype),
                      channels == 1 ? 3 : 4,
                      {n, h, w, channels},
                      {times(h, w, channels), times(w, channels), channels, 1}};
    const View cells{pointer(heat), static_cast<DType>(heat_dtype), 3, {n, d0, d1}, {times(d0, d1), d1, 1}};
    const BandView bands[2] = {band(first0, weights0, d0, o0, taps0), band(first1, weights1, d1, o1, taps1)};
    const Shading shading{static_cast<const std::uint8_t*>(pointer(table)),
                          level(low, low_at),
                          level(high, high_at),
                          alpha,
                          black,
                          white,
                          threshold};
    const MutableView picture{
        mutable_pointer(out), DType::uint8, 4, {n, h, w, 3}, {out_sn, times(3, w), 3, 1}};
    raise_unless_ok(cuda::overlay(pixels, cells, bands, shading, picture, stream_of(device, stream)));
}

template <class AnyView, class Pointer>
AnyView plane(Pointer data, DType dtype, Int n, Int p, Int stride) {
    return {data, dtype, 2, {n, p}, {stride, 1}};
}

void running_max(int dtype, Int n, Int p, Address values, Int values_sn, Address index, Int index_sn,
                 Address candidate, Int candidate_sn, Address units, Int unit, Address values_out,
                 Int values_out_sn, Address index_out, Int index_out_sn, int device, Address stream) {
    if (unit < INT32_MIN || unit > INT32_MAX) throw py::value_error("unit: is no number of 32 bits");
    const auto view = [&](Address data, DType type, Int stride) {
        return plane<View>(pointer(data), type, n, p, stride);
    };
    const View each{pointer(units), DType::int32, 1, {n}, {1}};
    raise_unless_ok(cuda::running_max(
        view(values, results(dtype), values_sn), view(index, DType::int32, index_sn),
        view(candidate, static_cast<DType>(dtype), candidate_sn), each, static_cast<std::int32_t>(unit),
        plane<MutableView>(mutable_pointer(values_out), results(dtype), n, p, values_out_sn),
        plane<MutableView>(mutable_pointer(index_out), DType::int32, n, p, index_out_sn),
        stream_of(device, stream)));
}

}  // namespace

void define_spatial(py::module_& module) {
    using py::arg;
    define_upsample<cuda::linear_upsample>(module, "linear_upsample");
    define_upsample<cuda::gaussian_upsample>(module, "gaussian_upsample");
    module.def("overlay", overlay, arg("image_dtype"), arg("n"), arg("h"), arg("w"), arg("channels"),
               arg("image"), arg("heat_dtype"), arg("heat"), arg("first0"), arg("weights0"), arg("d0"),
               arg("o0"), arg("taps0"), arg("first1"), arg("weights1"), arg("d1"), arg("o1"), arg("taps1"),
               arg("table"), arg("low"), arg("low_at"), arg("high"), arg("high_at"), arg("alpha"),
               arg("black"), arg("white"), arg("threshold"), arg("out"), arg("out_sn"), arg("device"),
               arg("stream"));
    module.def("running_max", running_max, arg("dtype"), arg("n"), arg("p"), arg("values"), arg("values_sn"),
               arg("index"), arg("index_sn"), arg("candidate"), arg("candidate_sn"), arg("units"),
               arg("unit"), arg("values_out"), arg("values_out_sn"), arg("index_out"), arg("index_out_sn"),
               arg("device"), arg("stream"));
}

}  // namespace camfast::bindings
