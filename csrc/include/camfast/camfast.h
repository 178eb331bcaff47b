/// \file
/// All of the API for CPUs. `camfast/cuda/` has that for CUDA devices.
#pragma once

#include "camfast/channel_weights.h"
#include "camfast/contiguous.h"
#include "camfast/export.h"
#include "camfast/fused_cam.h"
#include "camfast/gaussian_upsample.h"
#include "camfast/linear_upsample.h"
#include "camfast/overlay.h"
#include "camfast/product_sum.h"
#include "camfast/resample.h"
#include "camfast/row_sum.h"
#include "camfast/running_max.h"
#include "camfast/runtime.h"
#include "camfast/status.h"
#include "camfast/version.h"
#include "camfast/view.h"
#include "camfast/weighted_sum.h"
#include "camfast/window_sum.h"

/// Class activation maps from activations and gradients in the caller's memory.
///
/// What holds for every function:
///
/// - Arrays are views (View, MutableView): an address, a type, sizes, and strides in elements. Nothing is
///   copied, and nothing is kept after the call. contiguous() makes a view of an array without gaps.
/// - An address is aligned to its element; no more is needed. An output overlaps no input and no other
///   output, but where the function says so, and is written to its last element.
/// - A letter is a size: N samples, T targets, C channels, P positions of the layer's grid (of one to three
///   spatial axes, flattened), M maps.
/// - `threads` is the most threads that a call uses, the caller's among them; 1 or less is the caller's
///   alone. The bits of the result do not depend on it.
/// - Functions may be called from several threads at a time, on outputs of their own. None throws.
/// - The outcome is a Status; where it is not ok, it names the argument and says what would do.
namespace camfast {}
