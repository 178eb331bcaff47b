/// What an op's checks depend on, read from torch's tensors at the cost of a few hundred nanoseconds.
#pragma once

#include <pybind11/pybind11.h>

namespace camfast::bindings {

/// Adds to the module:
///
///     signature(arguments: tuple, out: Tensor | tuple | None, backend: str | None)
///         -> ((layout: bytes, options: tuple, backend), addresses: tuple[int, ...]) | None
///
/// The layout holds, for each tensor of `arguments` and `out`, its device, dtype, sizes and strides, and how
/// each tensor of `out` lies to those before it. Options are the arguments that aren't tensors, lists as
/// tuples. None where raw addresses may not be taken: subclasses, empty tensors, tensors without memory of
/// their own, those that autograd records, with the negative bit, or while torch traces, transforms or
/// intercepts calls.
void define_signature(pybind11::module_& module);

}  // namespace camfast::bindings
