/// Tiles of the grid: which thread sums which positions for which targets.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/parallel.h"
#include "cpu/passes.h"

namespace camfast::cpu {

/// float64 sums that one task holds in the first-level cache: targets times positions.
constexpr std::int64_t kTileSums = 4096;
constexpr std::int64_t kTileTargets = 4;
constexpr std::int64_t kTaskElements = 1 << 15;
constexpr std::int64_t kWantedTasks = 8;

/// For each sample, group of targets and tile of positions: sums over the channels in float64 and writes
/// them. add(sample, targets, positions, channels, tile) adds a chunk of channels to tile[target][position],
/// the targets being kTileSums / kTileTargets apart.
template <class Add>
void for_map_tiles(const Problem& problem, Range samples, Range channels, Output grid, GridUpdate update,
                   int threads, Add add) noexcept {
    const std::int64_t group = problem.t > 1 ? kTileTargets : 1;
    const std::int64_t groups = ceil_div(problem.t, group);
    // Small maps are cut into more tiles, for threads to share, as long as a tile is worth a thread's while.
    const std::int64_t worth = ceil_div(problem.p * problem.c, kTaskElements);
    const std::int64_t wanted =
        std::min(ceil_div(kWantedTasks, std::max<std::int64_t>(1, problem.n * groups)), worth);
    const std::int64_t even =
        ceil_div(ceil_div(problem.p, std::max<std::int64_t>(1, wanted)), kSumsStep) * kSumsStep;
    const std::int64_t step =
        std::clamp(even, kSumsStep, std::min(kTileSums / group, problem.tile_positions()));
    const std::int64_t tiles = ceil_div(problem.p, step);
    // With several targets, what a chunk holds comes from cache for all but the first.
    const std::int64_t chunk = problem.adjacent == Adjacent::channels ? channels.size() : kPackedChannels;
    parallel_for(samples.size() * groups * tiles, threads, [&](std::int64_t item) {
        const std::int64_t sample = samples.begin + item / tiles / groups;
        const std::int64_t first_target = item / tiles % groups * group;
        const Range targets{first_target, std::min(first_target + group, problem.t)};
        const Range positions{item % tiles * step, std::min((item % tiles + 1) * step, problem.p)};
        alignas(64) double sums[kTileSums];
        const std::int64_t pitch = kTileSums / group;
        for (std::int64_t t = 0; t < targets.size(); ++t)
            std::fill_n(sums + t * pitch, ceil_div(positions.size(), kSumsStep) * kSumsStep, 0.0);
        for (std::int64_t k = channels.begin; k < channels.end; k += chunk)
            add(sample, targets, positions, Range{k, std::min(k + chunk, channels.end)}, sums, pitch);
        for (std::int64_t t = 0; t < targets.size(); ++t)
            problem.tiles->write(sums + t * pitch, positions.size(), update.add, update.relu,
                                 grid.at(problem, sample, targets.begin + t, positions.begin));
    });
}

}  // namespace camfast::cpu
