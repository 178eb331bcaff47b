/// camfast._C_cuda: the CUDA API for Python, on addresses and numbers; camfast/_C_cuda.pyi describes each
/// argument.
#include <pybind11/pybind11.h>

#include "bindings/cuda_spatial.h"
#include "bindings/views.h"
#include "camfast/cuda/channel_weights.h"
#include "camfast/cuda/fused_cam.h"
#include "camfast/cuda/product_sum.h"
#include "camfast/cuda/weighted_sum.h"

namespace py = pybind11;

namespace {

using namespace camfast::bindings;
using camfast::cuda::Workspace;
using camfast::cuda::WorkspaceSize;

Workspace workspace_of(Address scratch, Int scratch_bytes, Address counters, Int counter_count) {
    return {mutable_pointer(scratch), scratch_bytes, static_cast<std::uint32_t*>(mutable_pointer(counters)),
            counter_count};
}

py::tuple sizes(const WorkspaceSize& size) {
    return py::make_tuple(size.scratch_bytes, size.counter_count);
}

py::tuple channel_weights_workspace(int method, int dtype, Int t, Int n, Int c, Int p, Int a_sn, Int a_sc,
                                    Int a_sp, Int g_st, Int g_sn, Int g_sc, Int g_sp) {
    return sizes(camfast::cuda::channel_weights_workspace(
        static_cast<camfast::WeightMethod>(method), activations(dtype, n, c, p, 0, a_sn, a_sc, a_sp),
        gradients(dtype, t, n, c, p, 0, g_st, g_sn, g_sc, g_sp)));
}

void channel_weights(int method, int dtype, Int t, Int n, Int c, Int p, Address a, Int a_sn, Int a_sc,
                     Int a_sp, Address g, Int g_st, Int g_sn, Int g_sc, Int g_sp, Address out, Int out_sn,
                     Int out_st, Address ill, Address scratch, Int scratch_bytes, Address counters,
                     Int counter_count, int device, Address stream) {
    raise_unless_ok(camfast::cuda::channel_weights(
        static_cast<camfast::WeightMethod>(method), activations(dtype, n, c, p, a, a_sn, a_sc, a_sp),
        gradients(dtype, t, n, c, p, g, g_st, g_sn, g_sc, g_sp), output(dtype, n, t, c, out, out_sn, out_st),
        static_cast<std::uint8_t*>(mutable_pointer(ill)),
        workspace_of(scratch, scratch_bytes, counters, counter_count), stream_of(device, stream)));
}

py::tuple weighted_sum_workspace(int dtype, Int t, Int n, Int c, Int p, Int a_sn, Int a_sc, Int a_sp) {
    return sizes(camfast::cuda::weighted_sum_workspace(activations(dtype, n, c, p, 0, a_sn, a_sc, a_sp), t));
}

void weighted_sum(int dtype, Int t, Int n, Int c, Int p, Address a, Int a_sn, Int a_sc, Int a_sp, Address w,
                  bool relu, Address out, Int out_sn, Int out_st, Address scratch, Int scratch_bytes,
                  Address counters, Int counter_count, int device, Address stream) {
    const camfast::View weights{pointer(w), results(dtype), 3, {n, t, c}, {times(t, c), c, 1}};
    raise_unless_ok(camfast::cuda::weighted_sum(activations(dtype, n, c, p, a, a_sn, a_sc, a_sp), weights,
                                                relu, output(dtype, n, t, p, out, out_sn, out_st),
                                                workspace_of(scratch, scratch_bytes, counters, counter_count),
                                                stream_of(device, stream)));
}

py::tuple product_sum_workspace(int dtype, Int t, Int n, Int c, Int p, Int a_sn, Int a_sc, Int a_sp, Int g_st,
                                Int g_sn, Int g_sc, Int g_sp) {
    return sizes(
        camfast::cuda::product_sum_workspace(activations(dtype, n, c, p, 0, a_sn, a_sc, a_sp),
                                             gradients(dtype, t, n, c, p, 0, g_st, g_sn, g_sc, g_sp)));
}

void product_sum(int rectify, int dtype, Int t, Int n, Int c, Int p, Address a, Int a_sn, Int a_sc, Int a_sp,
                 Address g, Int g_st, Int g_sn, Int g_sc, Int g_sp, bool relu, Address out, Int out_sn,
                 Int out_st, Address scratch, Int scratch_bytes, Address counters, Int counter_count,
                 int device, Address stream) {
    raise_unless_ok(camfast::cuda::product_sum(
        static_cast<camfast::Rectify>(rectify), activations(dtype, n, c, p, a, a_sn, a_sc, a_sp),
        gradients(dtype, t, n, c, p, g, g_st, g_sn, g_sc, g_sp), relu,
        output(dtype, n, t, p, out, out_sn, out_st),
        workspace_of(scratch, scratch_bytes, counters, counter_count), stream_of(device, stream)));
}

py::tuple fused_cam_workspace(int method, int dtype, Int t, Int n, Int c, Int p, Int a_sn, Int a_sc, Int a_sp,
                              Int g_st, Int g_sn, Int g_sc, Int g_sp, int device) {
    return sizes(camfast::cuda::fused_cam_workspace(
        static_cast<camfast::CamMethod>(method), activations(dtype, n, c, p, 0, a_sn, a_sc, a_sp),
        gradients(dtype, t, n, c, p, 0, g_st, g_sn, g_sc, g_sp), device));
}

void fused_cam(int method, bool relu, int dtype, Int t, Int n, Int c, Int p, Address a, Int a_sn, Int a_sc,
               Int a_sp, Address g, Int g_st, Int g_sn, Int g_sc, Int g_sp, Address grid, Int grid_sn,
               Int grid_st, Address weights, Int weights_sn, Int weights_st, Address ill, Address first0,
               Address weights0, Int d0, Int o0, Int taps0, Address first1, Address weights1, Int d1, Int o1,
               Int taps1, Address first2, Address weights2, Int d2, Int o2, Int taps2, Address maps,
               Int maps_sn, Int maps_st, Address scratch, Int scratch_bytes, Address counters,
               Int counter_count, int device, Address stream) {
    const camfast::cuda::BandView bands[3] = {band(first0, weights0, d0, o0, taps0),
                                              band(first1, weights1, d1, o1, taps1),
                                              band(first2, weights2, d2, o2, taps2)};
    raise_unless_ok(camfast::cuda::fused_cam(
        static_cast<camfast::CamMethod>(method), relu, activations(dtype, n, c, p, a, a_sn, a_sc, a_sp),
        gradients(dtype, t, n, c, p, g, g_st, g_sn, g_sc, g_sp),
        output(dtype, n, t, p, grid, grid_sn, grid_st),
        output(dtype, n, t, c, weights, weights_sn, weights_st),
        static_cast<std::uint8_t*>(mutable_pointer(ill)), bands,
        output(dtype, n, t, times(o0, o1, o2), maps, maps_sn, maps_st),
        workspace_of(scratch, scratch_bytes, counters, counter_count), stream_of(device, stream)));
}

}  // namespace

PYBIND11_MODULE(_C_cuda, module) {
    using py::arg;
    module.doc() = "CUDA kernels of camfast on raw addresses; use camfast.ops, which checks tensors first.";
    module.def("channel_weights_workspace", channel_weights_workspace, arg("method"), arg("dtype"), arg("t"),
               arg("n"), arg("c"), arg("p"), arg("a_sn"), arg("a_sc"), arg("a_sp"), arg("g_st"), arg("g_sn"),
               arg("g_sc"), arg("g_sp"));
    module.def("channel_weights", channel_weights, arg("method"), arg("dtype"), arg("t"), arg("n"), arg("c"),
               arg("p"), arg("a"), arg("a_sn"), arg("a_sc"), arg("a_sp"), arg("g"), arg("g_st"), arg("g_sn"),
               arg("g_sc"), arg("g_sp"), arg("out"), arg("out_sn"), arg("out_st"), arg("ill"), arg("scratch"),
               arg("scratch_bytes"), arg("counters"), arg("counter_count"), arg("device"), arg("stream"));
    module.def("weighted_sum_workspace", weighted_sum_workspace, arg("dtype"), arg("t"), arg("n"), arg("c"),
               arg("p"), arg("a_sn"), arg("a_sc"), arg("a_sp"));
    module.def("weighted_sum", weighted_sum, arg("dtype"), arg("t"), arg("n"), arg("c"), arg("p"), arg("a"),
               arg("a_sn"), arg("a_sc"), arg("a_sp"), arg("w"), arg("relu"), arg("out"), arg("out_sn"),
               arg("out_st"), arg("scratch"), arg("scratch_bytes"), arg("counters"), arg("counter_count"),
               arg("device"), arg("stream"));
    module.def("fused_cam_workspace", fused_cam_workspace, arg("method"), arg("dtype"), arg("t"), arg("n"),
               arg("c"), arg("p"), arg("a_sn"), arg("a_sc"), arg("a_sp"), arg("g_st"), arg("g_sn"),
               arg("g_sc"), arg("g_sp"), arg("device"));
    module.def("fused_cam", fused_cam, arg("method"), arg("relu"), arg("dtype"), arg("t"), arg("n"), arg("c"),
               arg("p"), arg("a"), arg("a_sn"), arg("a_sc"), arg("a_sp"), arg("g"), arg("g_st"), arg("g_sn"),
               arg("g_sc"), arg("g_sp"), arg("grid"), arg("grid_sn"), arg("grid_st"), arg("weights"),
               arg("weights_sn"), arg("weights_st"), arg("ill"), arg("first0"), arg("weights0"), arg("d0"),
               arg("o0"), arg("taps0"), arg("first1"), arg("weights1"), arg("d1"), arg("o1"), arg("taps1"),
               arg("first2"), arg("weights2"), arg("d2"), arg("o2"), arg("taps2"), arg("maps"),
               arg("maps_sn"), arg("maps_st"), arg("scratch"), arg("scratch_bytes"), arg("counters"),
               arg("counter_count"), arg("device"), arg("stream"));
    module.def("product_sum_workspace", product_sum_workspace, arg("dtype"), arg("t"), arg("n"), arg("c"),
               arg("p"), arg("a_sn"), arg("a_sc"), arg("a_sp"), arg("g_st"), arg("g_sn"), arg("g_sc"),
               arg("g_sp"));
    module.def("product_sum", product_sum, arg("rectify"), arg("dtype"), arg("t"), arg("n"), arg("c"),
               arg("p"), arg("a"), arg("a_sn"), arg("a_sc"), arg("a_sp"), arg("g"), arg("g_st"), arg("g_sn"),
               arg("g_sc"), arg("g_sp"), arg("relu"), arg("out"), arg("out_sn"), arg("out_st"),
               arg("scratch"), arg("scratch_bytes"), arg("counters"), arg("counter_count"), arg("device"),
               arg("stream"));
    define_spatial(module);
}
