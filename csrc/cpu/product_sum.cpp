#include "camfast/product_sum.h"

#include "cpu/map_tiles.h"
#include "cpu/passes.h"

namespace camfast::cpu {

void product_sum_pass(const Problem& problem, Rectify rectify, Output grid, bool relu, int threads) noexcept {
    const auto add_products = problem.sums->add_products[static_cast<int>(rectify)];
    for_map_tiles(
        problem, {0, problem.n}, {0, problem.c}, grid, {false, relu}, threads,
        [&](std::int64_t sample, Range targets, Range positions, Range chunk, double* sums,
            std::int64_t pitch) {
            PackedTile a_space, g_space;
            const Tile a = tile_of(problem, problem.activation_plane(sample), chunk, positions, a_space);
            for (std::int64_t t = targets.begin; t < targets.end; ++t) {
                const Tile g = tile_of(problem, problem.gradient_plane(t, sample), chunk, positions, g_space);
                add_products(a, g, chunk.size(), positions.size(), sums + (t - targets.begin) * pitch);
            }
        });
}

}  // namespace camfast::cpu

namespace camfast {

Status product_sum(Rectify rectify, const View& activations, const View& gradients, bool relu,
                   const MutableView& grid, int threads) noexcept {
    using namespace cpu;
    if (rectify < Rectify::none || rectify > Rectify::product)
        return invalid("rectify", "unknown; it is none (0), gradients (1) or product (2)");
    Problem problem;
    if (const Status status = make_problem(activations, &gradients, gradients.sizes[0], problem);
        !status.ok())
        return status;
    const std::int64_t sizes[3] = {problem.n, problem.t, problem.p};
    if (const Status status = check_output("grid", grid, activations.dtype, sizes); !status.ok())
        return status;
    const Output out{static_cast<char*>(grid.data), grid.strides[0], grid.strides[1]};
    if (problem.n == 0 || problem.t == 0 || problem.p == 0) return {};
    threads = useful_threads(problem.elements(), threads);
    product_sum_pass(problem, rectify, out, relu, threads);
    return {};
}

}  // namespace camfast
