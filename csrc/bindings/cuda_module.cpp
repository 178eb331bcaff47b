/// camfast._C_cuda: the CUDA API for Python, on addresses and numbers; camfast/_C_cuda.pyi describes each
/// argument.
#include <pybind11/pybind11.h>

#include "bindings/cuda_spatial.h"
#include "bindings/views.h"
#include "camfast/cuda/product_sum.h"

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

}  // namespace

PYBIND11_MODULE(_C_cuda, module) {
    using py::arg;
    module.doc() = "CUDA kernels of camfast on raw addresses; use camfast.ops, which checks tensors first.";
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
