/// How a separable upsampling is cut into blocks; arithmetic only, no CUDA.
#pragma once

#include <cstdint>

namespace camfast::cuda {

constexpr int kMaxUpsampleThreads = 256;

/// Sizes of an axis; `taps` is at least 1.
struct AxisSizes {
    std::int64_t cells, pixels, taps;
};

/// What a device has to offer.
struct DeviceLimits {
    int multiprocessors, shared_per_block, shared_per_multiprocessor;
};

/// How the pixels of the outermost axis are summed.
enum class Walk {
    direct,  ///< at most two taps: one by one
    kept,    ///< a group shares the reading of a plane of cells, which then stays for the next groups
    remade,  ///< more taps than planes fit in shared memory: each group makes its own, some at a time
};

/// A block makes `length` planes z of a tile of `rows` rows y and `packets` 16-byte packets x, a packet a
/// thread.
struct Tiling {
    std::int64_t maps, segments, tiles_y, tiles_x, length;
    std::int64_t tiles;  ///< of all maps; a tile is a map, a segment of z, and a tile of both other axes
    int rows, packets, threads;
    int ring;   ///< planes of cells, expanded along x and y, that are in shared memory at a time
    int lines;  ///< rows of cells, expanded along x, that are
    Walk walk;
    /// Shared memory in bytes: the ring, and a group's sums where planes are remade; then two buffers of
    /// lines and two of a group's weights, so that one can be filled while the other is read.
    int lines_begin, weights_begin, shared_bytes;
};

/// The tiling with the shortest time by a model of the shared memory's traffic and of latencies (tiling.cpp).
///
/// \param element    bytes of a result.
/// \param group      pixels of the outermost axis that a thread sums at a time.
/// \param full_warps  whether every warp lies in one row y.
Tiling plan_tiling(std::int64_t maps, const AxisSizes& z, const AxisSizes& y, const AxisSizes& x, int element,
                   int group, bool full_warps, const DeviceLimits& device) noexcept;

}  // namespace camfast::cuda
