/// \file
/// The running maximum over units, with the unit that it came from, on a CUDA device.
#pragma once

#include <cstdint>

#include "camfast/cuda/stream.h"
#include "camfast/status.h"
#include "camfast/view.h"

namespace camfast::cuda {

/// As camfast::running_max, on memory of the stream's device, in one launch. The last stride of all of (N, P)
/// is 1. Fastest where all rows are aligned to 16 bytes and P is a multiple of 16 bytes.
///
/// \param values      (N, P), dtype accumulator(candidate).
/// \param index       (N, P), int32.
/// \param candidate   (N, P), float32, float64, bfloat16 or float16.
/// \param units       (N), int32, in the device's memory; a null pointer for `unit`.
/// \param unit        one unit for all samples.
/// \param values_out  (N, P), dtype of values: they themselves, or memory that overlaps no input.
/// \param index_out   (N, P), int32; likewise for the index.
/// \param stream       where the work is queued.
/// \return invalid_argument with the argument's name, device_error with the kernel's, or ok: then the work is
/// queued.
Status running_max(const View& values, const View& index, const View& candidate, const View& units,
                   std::int32_t unit, const MutableView& values_out, const MutableView& index_out,
                   const Stream& stream) noexcept;

}  // namespace camfast::cuda
