/// Activations and gradients as the tile loops want them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "arguments.h"
#include "camfast/status.h"
#include "camfast/view.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu {

/// Half-open range of indices.
struct Range {
    std::int64_t begin, end;
    std::int64_t size() const noexcept { return end - begin; }
};

/// (C, P) elements of one sample.
struct Plane {
    const char* data;
    std::int64_t stride_c, stride_p;
};

/// Sizes, addresses and loops of one call. `gradients` may be null.
struct Problem {
    const TileKernels* tiles;
    const LayoutKernels* sums;
    Adjacent adjacent;
    bool packs;  ///< the layouts are neither of the two: tiles are packed to adjacent positions
    std::int64_t element, result;  // bytes
    std::int64_t t, n, c, p;
    const char* activations;
    std::int64_t a_n, a_c, a_p;
    const char* gradients;
    std::int64_t g_t, g_n, g_c, g_p;

    Plane activation_plane(std::int64_t sample) const noexcept {
        return {activations + sample * a_n * element, a_c, a_p};
    }
    Plane gradient_plane(std::int64_t target, std::int64_t sample) const noexcept {
        return {gradients + (target * g_t + sample * g_n) * element, g_c, g_p};
    }
    std::int64_t elements() const noexcept { return (gradients ? 1 + t : 1) * n * c * p; }

    /// Channels and positions that a task hands to the tile loops at a time.
    std::int64_t tile_channels() const noexcept {
        return adjacent == Adjacent::channels ? kTileChannels : kPackedChannels;
    }
    std::int64_t tile_positions() const noexcept {
        return packs ? kPackedPositions : adjacent == Adjacent::channels ? 128 : 4096;
    }
};

/// Space for one packed tile.
struct alignas(64) PackedTile {
    char bytes[kPackedChannels * kPackedPositions * 8];
};

/// Channels and positions of a plane as a tile: in place, or packed into `space` where its positions are not
/// adjacent and the problem wants them so.
inline Tile tile_of(const Problem& problem, Plane plane, Range channels, Range positions,
                    PackedTile& space) noexcept {
    const char* const first =
        plane.data + (channels.begin * plane.stride_c + positions.begin * plane.stride_p) * problem.element;
    if (problem.adjacent == Adjacent::channels) return {first, plane.stride_p};
    if (plane.stride_p == 1) return {first, plane.stride_c};
    problem.tiles->pack(first, plane.stride_c, plane.stride_p, channels.size(), positions.size(),
                        space.bytes);
    return {space.bytes, kPackedPositions};
}

/// Output (N, T, ...) of result type.
struct Output {
    char* data;
    std::int64_t stride_n, stride_t;
    char* at(const Problem& problem, std::int64_t n, std::int64_t t, std::int64_t i) const noexcept {
        return data + (n * stride_n + t * stride_t + i) * problem.result;
    }
};

Status make_problem(const View& activations, const View* gradients, std::int64_t targets,
                    Problem& problem) noexcept;

}  // namespace camfast::cpu
