/// The part of camfast._C_cuda whose ops know of space.
#pragma once

#include <pybind11/pybind11.h>

#include "bindings/views.h"
#include "camfast/cuda/stream.h"

namespace camfast::bindings {

inline cuda::Stream stream_of(int device, Address stream) {
    return {mutable_pointer(stream), device};
}

/// Adds the upsamplings, overlay and running_max to the module.
void define_spatial(pybind11::module_& module);

}  // namespace camfast::bindings
