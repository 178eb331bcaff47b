/// What an op's checks depend on, read from torch's tensors at the cost of a few hundred nanoseconds.
#pragma once

#include <pybind11/pybind11.h>

namespace camfast::bindings {

/// Adds the function `signature`, which camfast/_C.pyi describes.
void define_signature(pybind11::module_& module);

}  // namespace camfast::bindings
