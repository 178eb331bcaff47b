/// What a kernel that upsamples is given, and what it passes on.
#pragma once

#include <algorithm>

#include "cuda/launch.h"
#include "cuda/reduce.cuh"
#include "cuda/separable.h"
#include "cuda/vector_access.cuh"

namespace camfast::cuda {

/// An axis of BandView in device code; where nothing is to do, `taps` is 1 and the tables are null.
template <class Real>
struct Axis {
    std::int32_t cells, pixels, taps;
    const std::int32_t* firsts;
    const Real* weights;

    __device__ int first(int pixel) const { return firsts ? __ldg(firsts + pixel) : pixel; }
    __device__ Real weight(int tap, int pixel) const {
        return weights ? __ldg(weights + static_cast<std::int64_t>(tap) * pixels + pixel) : Real{1};
    }
};

template <class Real>
Axis<Real> axis_of(const BandView& band) noexcept {
    const auto cells = static_cast<std::int32_t>(band.cells), pixels = static_cast<std::int32_t>(band.pixels);
    if (band.taps == 0) return {cells, pixels, 1, nullptr, nullptr};
    return {cells, pixels, static_cast<std::int32_t>(band.taps), band.first,
            static_cast<const Real*>(band.weights)};
}

/// Grids (N, T, z, y, x) of `targets` T, the last three axes contiguous, and what is made of them.
template <class Real>
struct Separable {
    Axis<Real> z, y, x;
    const void* grid;
    DType dtype;
    std::int64_t targets, grid_n, grid_t;
    Tiling tiling;
};

/// Blocks of a launch; each takes every so many tiles where there are more.
inline Shape shape_of(const Tiling& tiling) noexcept {
    constexpr std::int64_t kMostBlocks = std::int64_t{1} << 30;
    return {std::min(tiling.tiles, kMostBlocks), tiling.threads,
            static_cast<std::size_t>(tiling.shared_bytes)};
}

/// function(std::integral_constant<Walk>).
template <class Function>
Status with_walk(Walk walk, Function function) noexcept {
    switch (walk) {
        case Walk::direct: return function(std::integral_constant<Walk, Walk::direct>{});
        case Walk::kept: return function(std::integral_constant<Walk, Walk::kept>{});
        case Walk::remade: break;
    }
    return function(std::integral_constant<Walk, Walk::remade>{});
}

/// The part of a map that a block makes.
struct Part {
    std::int64_t sample, target;
    int z_begin, z_end, y_begin, tile_x;
};

/// A thread's columns of a group of pixels z.
template <class Real, int kGroup>
using Sums = Real[kGroup][kPacket<Real>];

template <class Real>
__device__ inline Packet<Real> packet_of(const Real (&values)[kPacket<Real>]) {
    Packet<Real> packet;
#pragma unroll
    for (int i = 0; i < kPacket<Real>; ++i) packet.elements[i] = values[i];
    return packet;
}

/// One store of 16 aligned bytes that nothing here reads again; an assignment would be split into elements.
template <class Real>
__device__ inline void stream_packet(Real* address, const Packet<Real>& packet) {
    __stcs(reinterpret_cast<uint4*>(address), reinterpret_cast<const uint4&>(packet));
}

/// Cells as they are.
template <class Real>
struct ReadCells {
    __device__ const ReadCells& open() const { return *this; }

    template <class Element>
    __device__ Real operator()(Element element) const {
        return static_cast<Real>(widen(element));
    }
};

}  // namespace camfast::cuda
