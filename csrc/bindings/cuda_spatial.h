/// The part of camfast._C_cuda whose ops know of space.
#pragma once

#include <pybind11/pybind11.h>

#include "bindings/views.h"
#include "camfast/cuda/band.h"
#include "camfast/cuda/stream.h"

namespace camfast::bindings {

inline cuda::Stream stream_of(int device, Address stream) {
    return {mutable_pointer(stream), device};
}

inline cuda::BandView band(Address first, Address weights, Int cells, Int pixels, Int taps) {
    return {static_cast<const std::int32_t*>(pointer(first)), pointer(weights), cells, pixels, taps};
}

/// Adds the upsamplings, overlay and running_max to the module.
void define_spatial(pybind11::module_& module);

}  // namespace camfast::bindings
