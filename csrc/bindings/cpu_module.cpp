/// camfast._C: the C++ API for Python, on addresses and numbers; camfast/_C.pyi describes each argument.
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "bindings/bound.h"
#include "bindings/signature.h"
#include "bindings/views.h"
#include "camfast/channel_weights.h"
#include "camfast/fused_cam.h"
#include "camfast/gaussian_upsample.h"
#include "camfast/linear_upsample.h"
#include "camfast/overlay.h"
#include "camfast/product_sum.h"
#include "camfast/resample.h"
#include "camfast/row_sum.h"
#include "camfast/running_max.h"
#include "camfast/runtime.h"
#include "camfast/weighted_sum.h"
#include "camfast/window_sum.h"
#include "cpu/isa.h"

namespace py = pybind11;

namespace {

using namespace camfast::bindings;
using camfast::DType;
using camfast::MutableView;
using camfast::Status;
using camfast::View;

/// Elements from which on a call takes long enough to let other Python threads run meanwhile.
constexpr Int kReleaseElements = Int{1} << 17;

/// Calls `function`, without the GIL where the work is large, and raises what it reports.
template <class Function>
void call(Int elements, Function function) {
    Status status;
    {
        std::optional<py::gil_scoped_release> release;
        if (elements >= kReleaseElements) release.emplace();
        status = function();
    }
    raise_unless_ok(status);
}

void channel_weights(int method, int dtype, Int t, Int n, Int c, Int p, Address a, Int a_sn, Int a_sc,
                     Int a_sp, Address g, Int g_st, Int g_sn, Int g_sc, Int g_sp, Address out, Int out_sn,
                     Int out_st, Address ill, int threads) {
    call(of_pair(t, n, c, p), [&] {
        return camfast::channel_weights(static_cast<camfast::WeightMethod>(method),
                                        activations(dtype, n, c, p, a, a_sn, a_sc, a_sp),
                                        gradients(dtype, t, n, c, p, g, g_st, g_sn, g_sc, g_sp),
                                        output(dtype, n, t, c, out, out_sn, out_st),
                                        static_cast<std::uint8_t*>(mutable_pointer(ill)), threads);
    });
}

void weighted_sum(int dtype, Int t, Int n, Int c, Int p, Address a, Int a_sn, Int a_sc, Int a_sp, Address w,
                  bool relu, Address out, Int out_sn, Int out_st, int threads) {
    call(of_pair(t, n, c, p), [&] {
        const View weights{pointer(w), results(dtype), 3, {n, t, c}, {times(t, c), c, 1}};
        return camfast::weighted_sum(activations(dtype, n, c, p, a, a_sn, a_sc, a_sp), weights, relu,
                                     output(dtype, n, t, p, out, out_sn, out_st), threads);
    });
}

void product_sum(int rectify, int dtype, Int t, Int n, Int c, Int p, Address a, Int a_sn, Int a_sc, Int a_sp,
                 Address g, Int g_st, Int g_sn, Int g_sc, Int g_sp, bool relu, Address out, Int out_sn,
                 Int out_st, int threads) {
    call(of_pair(t, n, c, p), [&] {
        return camfast::product_sum(static_cast<camfast::Rectify>(rectify),
                                    activations(dtype, n, c, p, a, a_sn, a_sc, a_sp),
                                    gradients(dtype, t, n, c, p, g, g_st, g_sn, g_sc, g_sp), relu,
                                    output(dtype, n, t, p, out, out_sn, out_st), threads);
    });
}

void fused_cam(int method, bool relu, int dtype, Int t, Int n, Int c, Int p, Address a, Int a_sn, Int a_sc,
               Int a_sp, Address g, Int g_st, Int g_sn, Int g_sc, Int g_sp, Address grid, Int grid_sn,
               Int grid_st, Address maps, Int maps_sn, Int maps_st, Address weights, Int weights_sn,
               Int weights_st, Address ill, Int ill_sn, Int ill_st, int upsample, Int d0, Int d1, Int d2,
               Int o0, Int o1, Int o2, double sigma0, double sigma1, double sigma2, int gain, double start0,
               double start1, double start2, double step0, double step1, double step2, int threads) {
    const camfast::Upsampling upsampling{
        static_cast<camfast::UpsampleMode>(upsample),
        {d0, d1, d2},
        {o0, o1, o2},
        {{sigma0, start0, step0}, {sigma1, start1, step1}, {sigma2, start2, step2}},
        static_cast<camfast::Gain>(gain)};
    const Int pixels = upsample ? times(o0, o1, o2) : 0;
    auto* const flags = static_cast<std::uint8_t*>(mutable_pointer(ill));
    // the kernel writes adjacent flags; those of some targets of a larger result go to a place of their own
    // first
    const bool adjacent = !flags || ((t <= 1 || ill_st == 1) && (n <= 1 || ill_sn == t));
    std::vector<std::uint8_t> apart(adjacent ? 0 : static_cast<std::size_t>(times(n, t)));
    call(std::max(of_pair(t, n, c, p), times(n, t, pixels)), [&] {
        return camfast::fused_cam(
            static_cast<camfast::CamMethod>(method), relu, activations(dtype, n, c, p, a, a_sn, a_sc, a_sp),
            gradients(dtype, t, n, c, p, g, g_st, g_sn, g_sc, g_sp),
            output(dtype, n, t, p, grid, grid_sn, grid_st),
            output(dtype, n, t, c, weights, weights_sn, weights_st), adjacent ? flags : apart.data(),
            upsampling, output(dtype, n, t, pixels, maps, maps_sn, maps_st), threads);
    });
    for (std::size_t i = 0; i < apart.size(); ++i)
        flags[static_cast<Int>(i) / t * ill_sn + static_cast<Int>(i) % t * ill_st] = apart[i];
}

void linear_upsample(int dtype, Int m, Int d0, Int d1, Int d2, Address grid, Int o0, Int o1, Int o2,
                     Address out, int threads) {
    call(times(m, o0, o1, o2), [&] {
        return camfast::linear_upsample(
            maps_view<View>(pointer(grid), static_cast<DType>(dtype), m, d0, d1, d2),
            maps_view<MutableView>(mutable_pointer(out), results(dtype), m, o0, o1, o2), threads);
    });
}

void gaussian_upsample(int dtype, Int m, Int d0, Int d1, Int d2, Address grid, Int o0, Int o1, Int o2,
                       double sigma0, double sigma1, double sigma2, int gain, double start0, double start1,
                       double start2, double step0, double step1, double step2, Address out, int threads) {
    call(times(m, o0, o1, o2), [&] {
        const camfast::GaussianAxis axes[3] = {
            {sigma0, start0, step0}, {sigma1, start1, step1}, {sigma2, start2, step2}};
        return camfast::gaussian_upsample(
            maps_view<View>(pointer(grid), static_cast<DType>(dtype), m, d0, d1, d2),
            maps_view<MutableView>(mutable_pointer(out), results(dtype), m, o0, o1, o2), axes,
            static_cast<camfast::Gain>(gain), threads);
    });
}

void overlay(int image_dtype, Int n, Int h, Int w, Int channels, Address image, int dtype, Int d0, Int d1,
             Address heat, Address table, double low, double high, double alpha, double sigma0, double sigma1,
             double black, double white, double threshold, Address out, Int out_sn, int threads) {
    call(times(3, n, h, w), [&] {
        const View pixels{pointer(image),
                          static_cast<DType>(image_dtype),
                          channels == 1 ? 3 : 4,
                          {n, h, w, channels},
                          {times(h, w, channels), times(w, channels), channels, 1}};
        const View cells{pointer(heat), static_cast<DType>(dtype), 3, {n, d0, d1}, {times(d0, d1), d1, 1}};
        const MutableView picture{
            mutable_pointer(out), DType::uint8, 4, {n, h, w, 3}, {out_sn, times(3, w), 3, 1}};
        const camfast::Shading shading{static_cast<const std::uint8_t*>(pointer(table)),
                                       low,
                                       high,
                                       alpha,
                                       black,
                                       white,
                                       {sigma0, sigma1},
                                       threshold};
        return camfast::overlay(pixels, cells, shading, picture, threads);
    });
}

void running_max(int dtype, Int n, Int p, Address values, Int values_sn, Address index, Int index_sn,
                 Address candidate, Int candidate_sn, Address units, std::int32_t unit, Address values_out,
                 Int values_out_sn, Address index_out, Int index_out_sn, int threads) {
    call(times(n, p), [&] {
        const auto plane = [&](Address data, DType type, Int stride) {
            return View{pointer(data), type, 2, {n, p}, {stride, 1}};
        };
        const auto output = [&](Address data, DType type, Int stride) {
            return MutableView{mutable_pointer(data), type, 2, {n, p}, {stride, 1}};
        };
        const View which{units ? pointer(units) : &unit, DType::int32, 1, {n}, {units ? 1 : 0}};
        return camfast::running_max(plane(values, results(dtype), values_sn),
                                    plane(index, DType::int32, index_sn),
                                    plane(candidate, static_cast<DType>(dtype), candidate_sn), which,
                                    output(values_out, results(dtype), values_out_sn),
                                    output(index_out, DType::int32, index_out_sn), threads);
    });
}

void window_sum(int dtype, int blend, Int n, Int t, Int axes, Int g0, Int g1, Int g2, Int d0, Int d1, Int d2,
                Address total, Int total_st, Address maps, Int maps_sn, Int maps_st, Address origins,
                int origins_dtype, Int origins_sn, Int origins_sa, Address taper, Address out, Int out_st,
                int threads) {
    const Int cells = times(d0, d1, d2);
    call(std::max(times(n, t, cells), out == total ? 0 : times(t, g0, g1, g2)), [&] {
        const View before{
            pointer(total), DType::float64, 4, {t, g0, g1, g2}, {total_st, times(g1, g2), g2, 1}};
        return camfast::window_sum(
            before, {pointer(maps), static_cast<DType>(dtype), 3, {n, t, cells}, {maps_sn, maps_st, 1}},
            {pointer(origins), static_cast<DType>(origins_dtype), 2, {n, axes}, {origins_sn, origins_sa}},
            {pointer(taper), DType::float64, 3, {d0, d1, d2}, {times(d1, d2), d2, 1}},
            static_cast<camfast::Blend>(blend),
            {mutable_pointer(out), DType::float64, 4, {t, g0, g1, g2}, {out_st, times(g1, g2), g2, 1}},
            threads);
    });
}

void resample(int dtype, Int h, Int w, Int channels, Address image, Int y_pixels, Int y_taps, Address y_first,
              Address y_weights, Int x_pixels, Int x_taps, Address x_first, Address x_weights, Address out,
              int threads) {
    call(times(h, w, channels), [&] {
        const auto band = [](Int pixels, Int taps, Address first, Address weights) {
            return camfast::ResampleBand{static_cast<const std::int32_t*>(pointer(first)),
                                         static_cast<const float*>(pointer(weights)), pixels, taps};
        };
        const View picture{pointer(image),
                           static_cast<DType>(dtype),
                           3,
                           {h, w, channels},
                           {times(w, channels), channels, 1}};
        const MutableView planes{mutable_pointer(out),
                                 DType::float32,
                                 3,
                                 {channels, y_pixels, x_pixels},
                                 {times(y_pixels, x_pixels), x_pixels, 1}};
        return camfast::resample(picture, band(y_pixels, y_taps, y_first, y_weights),
                                 band(x_pixels, x_taps, x_first, x_weights), planes, threads);
    });
}

void row_sum(int dtype, Int j, Int i, Address matrix, Int matrix_sj, Address factors, Address out,
             int threads) {
    call(times(j, i), [&] {
        return camfast::row_sum({pointer(matrix), static_cast<DType>(dtype), 2, {j, i}, {matrix_sj, 1}},
                                {pointer(factors), results(dtype), 1, {j}, {1}},
                                {mutable_pointer(out), results(dtype), 1, {i}, {1}}, threads);
    });
}

py::list supported_isas() {
    py::list names;
    for (int i = 0; i < camfast::cpu::kIsas; ++i)
        if (const auto isa = static_cast<camfast::cpu::Isa>(i); camfast::cpu::isa_supported(isa))
            names.append(camfast::cpu::isa_name(isa));
    return names;
}

void use_team(Address parallel, Address number) {
    camfast::Team team{};
    const void* const addresses[] = {pointer(parallel), pointer(number)};
    static_assert(sizeof team == sizeof addresses);
    std::memcpy(&team, addresses, sizeof team);  // addresses of functions: no cast converts them
    camfast::use_team(team);
}

}  // namespace

PYBIND11_MODULE(_C, module) {
    const auto& chosen = camfast::cpu::chosen();
    if (!chosen.status.ok()) throw py::import_error(sentence(chosen.status));

    using py::arg;
    module.doc() = "CPU kernels of camfast on raw addresses; use camfast.ops, which checks tensors first.";
    define(module, "channel_weights", channel_weights, arg("method"), arg("dtype"), arg("t"), arg("n"),
           arg("c"), arg("p"), arg("a"), arg("a_sn"), arg("a_sc"), arg("a_sp"), arg("g"), arg("g_st"),
           arg("g_sn"), arg("g_sc"), arg("g_sp"), arg("out"), arg("out_sn"), arg("out_st"), arg("ill"),
           arg("threads"));
    define(module, "weighted_sum", weighted_sum, arg("dtype"), arg("t"), arg("n"), arg("c"), arg("p"),
           arg("a"), arg("a_sn"), arg("a_sc"), arg("a_sp"), arg("w"), arg("relu"), arg("out"), arg("out_sn"),
           arg("out_st"), arg("threads"));
    define(module, "product_sum", product_sum, arg("rectify"), arg("dtype"), arg("t"), arg("n"), arg("c"),
           arg("p"), arg("a"), arg("a_sn"), arg("a_sc"), arg("a_sp"), arg("g"), arg("g_st"), arg("g_sn"),
           arg("g_sc"), arg("g_sp"), arg("relu"), arg("out"), arg("out_sn"), arg("out_st"), arg("threads"));
    define(module, "fused_cam", fused_cam, arg("method"), arg("relu"), arg("dtype"), arg("t"), arg("n"),
           arg("c"), arg("p"), arg("a"), arg("a_sn"), arg("a_sc"), arg("a_sp"), arg("g"), arg("g_st"),
           arg("g_sn"), arg("g_sc"), arg("g_sp"), arg("grid"), arg("grid_sn"), arg("grid_st"), arg("maps"),
           arg("maps_sn"), arg("maps_st"), arg("weights"), arg("weights_sn"), arg("weights_st"), arg("ill"),
           arg("ill_sn"), arg("ill_st"), arg("upsample"), arg("d0"), arg("d1"), arg("d2"), arg("o0"),
           arg("o1"), arg("o2"), arg("sigma0"), arg("sigma1"), arg("sigma2"), arg("gain"), arg("start0"),
           arg("start1"), arg("start2"), arg("step0"), arg("step1"), arg("step2"), arg("threads"));
    define(module, "linear_upsample", linear_upsample, arg("dtype"), arg("m"), arg("d0"), arg("d1"),
           arg("d2"), arg("grid"), arg("o0"), arg("o1"), arg("o2"), arg("out"), arg("threads"));
    define(module, "gaussian_upsample", gaussian_upsample, arg("dtype"), arg("m"), arg("d0"), arg("d1"),
           arg("d2"), arg("grid"), arg("o0"), arg("o1"), arg("o2"), arg("sigma0"), arg("sigma1"),
           arg("sigma2"), arg("gain"), arg("start0"), arg("start1"), arg("start2"), arg("step0"),
           arg("step1"), arg("step2"), arg("out"), arg("threads"));
    define(module, "overlay", overlay, arg("image_dtype"), arg("n"), arg("h"), arg("w"), arg("channels"),
           arg("image"), arg("dtype"), arg("d0"), arg("d1"), arg("heat"), arg("table"), arg("low"),
           arg("high"), arg("alpha"), arg("sigma0"), arg("sigma1"), arg("black"), arg("white"),
           arg("threshold"), arg("out"), arg("out_sn"), arg("threads"));
    define(module, "running_max", running_max, arg("dtype"), arg("n"), arg("p"), arg("values"),
           arg("values_sn"), arg("index"), arg("index_sn"), arg("candidate"), arg("candidate_sn"),
           arg("units"), arg("unit"), arg("values_out"), arg("values_out_sn"), arg("index_out"),
           arg("index_out_sn"), arg("threads"));
    define(module, "window_sum", window_sum, arg("dtype"), arg("blend"), arg("n"), arg("t"), arg("axes"),
           arg("g0"), arg("g1"), arg("g2"), arg("d0"), arg("d1"), arg("d2"), arg("total"), arg("total_st"),
           arg("maps"), arg("maps_sn"), arg("maps_st"), arg("origins"), arg("origins_dtype"),
           arg("origins_sn"), arg("origins_sa"), arg("taper"), arg("out"), arg("out_st"), arg("threads"));
    define(module, "resample", resample, arg("dtype"), arg("h"), arg("w"), arg("channels"), arg("image"),
           arg("y_pixels"), arg("y_taps"), arg("y_first"), arg("y_weights"), arg("x_pixels"), arg("x_taps"),
           arg("x_first"), arg("x_weights"), arg("out"), arg("threads"));
    define(module, "row_sum", row_sum, arg("dtype"), arg("j"), arg("i"), arg("matrix"), arg("matrix_sj"),
           arg("factors"), arg("out"), arg("threads"));
    define_signature(module);
    module.def("isa", [] { return camfast::cpu::isa_name(camfast::cpu::chosen().isa); });
    module.def("supported_isas", supported_isas);
    module.def("use_team", use_team, arg("parallel"), arg("number"));
}
