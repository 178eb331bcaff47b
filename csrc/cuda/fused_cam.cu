#include "camfast/cuda/fused_cam.h"
#include "cuda/passes.h"
#include "cuda/separable.h"

namespace camfast::cuda {
namespace {

/// How a map is made.
enum class Way {
    product,  ///< one pass
    held,     ///< both passes in one launch, a block holding whole maps
    chunked,  ///< both passes, chunk after chunk of channels
    passes,   ///< one pass after the other
};

Way way(CamMethod method, const Problem& problem, int device) noexcept {
    if (method > CamMethod::respond) return Way::product;
    if (fits_a_block(problem)) return Way::held;
    return worth_chunks(problem, static_cast<WeightMethod>(method), device) ? Way::chunked : Way::passes;
}

WorkspaceSize size_of(CamMethod cam, const Problem& problem, int device, bool keeps_weights) noexcept {
    const auto method = static_cast<WeightMethod>(cam);
    WorkspaceSize size;
    switch (way(cam, problem, device)) {
        case Way::product: return product_sum_pass_size(problem);
        case Way::held: return held_pass_size(problem);
        case Way::chunked: size = chunked_pass_size(problem, method, device); break;
        case Way::passes:
            size = larger(weights_pass_size(problem, method), weighted_sum_pass_size(problem));
            break;
    }
    if (!keeps_weights)
        size.scratch_bytes += taken(problem.n * problem.t * problem.c * problem.result_bytes());
    return size;
}

Status map_on_grid(CamMethod cam, bool relu, const Problem& problem, const MutableView& grid,
                   const MutableView& weights, std::uint8_t* ill, Workspace workspace,
                   const Stream& stream) noexcept {
    const auto method = static_cast<WeightMethod>(cam);
    Weights kept{weights.data, weights.strides[0], weights.strides[1]};
    const Way chosen = way(cam, problem, stream.device);
    if (chosen == Way::product) {
        const int rectify = static_cast<int>(cam) - static_cast<int>(CamMethod::product);
        return product_sum_pass(problem, static_cast<Rectify>(rectify), relu, grid, workspace, stream);
    }
    if (chosen == Way::held) return held_pass(problem, method, relu, kept, ill, grid, workspace, stream);
    if (!kept.data)
        kept = {take(workspace, problem.n * problem.t * problem.c * problem.result_bytes()),
                problem.t * problem.c, problem.c};
    if (chosen == Way::chunked)
        return chunked_pass(problem, method, relu, kept, ill, grid, workspace, stream);
    const Status status = weights_pass(problem, method, kept, ill, workspace, stream);
    return status.ok() ? weighted_sum_pass(problem, kept, relu, grid, workspace, stream) : status;
}

bool known(CamMethod method) noexcept {
    return method >= CamMethod::gradcam && method <= CamMethod::rectified_product;
}

Status check(CamMethod method, const Problem& problem, const MutableView& grid, const MutableView& weights,
             const std::uint8_t* ill_conditioned) noexcept {
    const bool weighted = method <= CamMethod::respond;
    if (!weighted && weights.data) return invalid("weights", "is given, but this method has none");
    if (!weighted && ill_conditioned)
        return invalid("ill_conditioned", "is given, but this method has no weights");
    const std::int64_t grid_sizes[3] = {problem.n, problem.t, problem.p};
    const std::int64_t weight_sizes[3] = {problem.n, problem.t, problem.c};
    if (const Status status = check_output("grid", grid, problem.dtype, grid_sizes); !status.ok())
        return status;
    return weights.data ? check_output("weights", weights, problem.dtype, weight_sizes) : Status{};
}

/// Checks the bands against the grid, and the maps against the bands.
Status check_upsampling(const Problem& problem, const BandView (&bands)[3],
                        const MutableView& maps) noexcept {
    if (const Status status = check_bands("bands", bands, 3); !status.ok()) return status;
    const std::int64_t cells[3] = {bands[0].cells, bands[1].cells, bands[2].cells};
    const std::int64_t pixels[3] = {bands[0].pixels, bands[1].pixels, bands[2].pixels};
    if (product(cells) != problem.p) return invalid("bands", "have cells whose product is not p");
    const std::int64_t sizes[3] = {problem.n, problem.t, product(pixels)};
    return check_output("maps", maps, problem.dtype, sizes);
}

}  // namespace

WorkspaceSize fused_cam_workspace(CamMethod method, const View& activations, const View& gradients,
                                  int device) noexcept {
    if (!known(method) || !is_problem(activations, &gradients, gradients.sizes[0])) return {};
    const Problem problem = describe(activations, &gradients, gradients.sizes[0]);
    return larger(size_of(method, problem, device, false), size_of(method, unpacked(problem), device, false));
}

Status fused_cam(CamMethod cam, bool relu, const View& activations, const View& gradients,
                 const MutableView& grid, const MutableView& weights, std::uint8_t* ill_conditioned,
                 const BandView (&bands)[3], const MutableView& maps, const Workspace& workspace,
                 const Stream& stream) noexcept {
    if (!known(cam)) return invalid("method", "unknown; it is 0 ... 6");
    Problem problem;
    if (const Status status = make_problem(activations, &gradients, gradients.sizes[0], problem);
        !status.ok())
        return status;
    if (const Status status = check(cam, problem, grid, weights, ill_conditioned); !status.ok())
        return status;
    if (const Status status =
            check_workspace(workspace, size_of(cam, problem, stream.device, weights.data != nullptr));
        !status.ok())
        return status;

    const bool upsamples = maps.data != nullptr;
    if (upsamples)
        if (const Status status = check_upsampling(problem, bands, maps); !status.ok()) return status;
    // an empty grid needs no weights, unless somebody asks for them
    if (problem.n * problem.t * problem.p == 0 && !weights.data && !ill_conditioned && !upsamples) return {};
    const Status status = map_on_grid(cam, relu, problem, grid, weights, ill_conditioned, workspace, stream);
    if (!status.ok() || !upsamples) return status;
    return upsample_maps("fused_cam", grid.dtype, problem.n, problem.t,
                         {grid.data, grid.strides[0], grid.strides[1]},
                         {maps.data, maps.strides[0], maps.strides[1]}, bands, stream);
}

}  // namespace camfast::cuda
