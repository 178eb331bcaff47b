#include "camfast/weighted_sum.h"

#include "cpu/map_tiles.h"
#include "cpu/passes.h"

namespace camfast::cpu {

void weighted_sum_pass(const Problem& problem, const char* weights, Range samples, Range channels,
                       Output grid, GridUpdate update, int threads) noexcept {
    for_map_tiles(
        problem, samples, channels, grid, update, threads,
        [&](std::int64_t sample, Range targets, Range positions, Range chunk, double* sums,
            std::int64_t pitch) {
            PackedTile space;
            const Tile a = tile_of(problem, problem.activation_plane(sample), chunk, positions, space);
            for (std::int64_t t = targets.begin; t < targets.end; ++t)
                problem.sums->add_weighted(
                    a, weights + ((sample * problem.t + t) * problem.c + chunk.begin) * problem.result,
                    chunk.size(), positions.size(), sums + (t - targets.begin) * pitch);
        });
}

}  // namespace camfast::cpu

namespace camfast {

Status weighted_sum(const View& activations, const View& weights, bool relu, const MutableView& grid,
                    int threads) noexcept {
    using namespace cpu;
    Problem problem;
    if (const Status status = check_input("weights", weights, 3); !status.ok()) return status;
    if (const Status status = make_problem(activations, nullptr, weights.sizes[1], problem); !status.ok())
        return status;
    if (weights.dtype != accumulator(activations.dtype))
        return invalid("weights", "is float64 for float64 activations, float32 for all others");
    if (weights.sizes[0] != problem.n || weights.sizes[2] != problem.c)
        return invalid("weights", "has sizes that do not fit the activations");
    if (const Status status = check_contiguous("weights", weights); !status.ok()) return status;
    const std::int64_t sizes[3] = {problem.n, problem.t, problem.p};
    if (const Status status = check_output("grid", grid, activations.dtype, sizes); !status.ok())
        return status;
    const Output out{static_cast<char*>(grid.data), grid.strides[0], grid.strides[1]};
    if (problem.n == 0 || problem.t == 0 || problem.p == 0) return {};
    threads = useful_threads(problem.elements(), threads);
    weighted_sum_pass(problem, static_cast<const char*>(weights.data), {0, problem.n}, {0, problem.c}, out,
                      {false, relu}, threads);
    return {};
}

}  // namespace camfast
