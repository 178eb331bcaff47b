#include "camfast/fused_cam.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>

#include "cpu/buffer.h"
#include "cpu/parallel.h"
#include "cpu/passes.h"
#include "cpu/separable.h"

namespace camfast::cpu {
namespace {

/// Bytes of activations that a block holds between its two passes: what is left of them in a cache need not
/// be read again, and the grid is read and written for every block.
constexpr std::int64_t kBlockBytes = std::int64_t{32} << 20;
constexpr std::int64_t kBlockChannels = 8;

/// Weights, then the sum, for block after block of samples and channels.
class TwoPass {
public:
    TwoPass(const Problem& problem, WeightMethod method, WeightsOut weights, std::uint8_t* ill, Output grid,
            bool relu) noexcept
        : problem_(problem), method_(method), weights_(weights), ill_(ill), grid_(grid), relu_(relu) {
        const std::int64_t row = std::max<std::int64_t>(1, problem.p * problem.element);
        const std::int64_t fit = kBlockBytes / row;
        channels_ = std::max(fit / kBlockChannels * kBlockChannels, kBlockChannels);
        // Gradients alone weigh Grad-CAM's channels: nothing is read twice. Where channels are adjacent,
        // those of a block would be parts of cache lines.
        if (method == WeightMethod::gradcam || problem.a_p != 1) channels_ = problem.c;
        channels_ = std::clamp<std::int64_t>(channels_, 1, std::max<std::int64_t>(1, problem.c));
        const std::int64_t most = std::max<std::int64_t>(1, problem.n);
        samples_ = channels_ == problem.c ? std::clamp<std::int64_t>(fit / channels_, 1, most) : 1;
    }

    Status run(int threads) noexcept {
        const bool one_block = channels_ >= problem_.c;
        const bool even = problem_.n % threads == 0 || problem_.n >= 4 * threads;
        std::atomic<bool> failed{false};
        if (threads > 1 && one_block && problem_.n >= threads && even) {
            parallel_for(problem_.n, threads, [&](std::int64_t n) {
                if (!run_samples({n, n + 1}, 1)) failed = true;
            });
        } else {
            for (std::int64_t n = 0; n < problem_.n; n += samples_)
                if (!run_samples({n, std::min(n + samples_, problem_.n)}, threads)) failed = true;
        }
        return failed ? out_of_memory() : Status{};
    }

private:
    bool run_samples(Range samples, int threads) const noexcept {
        const Buffer scratch(weights_scratch_bytes(problem_, samples.size(), channels_));
        if (!scratch) return false;
        std::int64_t k = 0;
        do {
            const Range channels{k, std::min(k + channels_, problem_.c)};
            weights_pass(problem_, method_, samples, channels, weights_, ill_, scratch.as<double>(), threads);
            const GridUpdate update{k > 0, relu_ && channels.end == problem_.c};
            weighted_sum_pass(problem_, weights_.weights, samples, channels, grid_, update, threads);
            k = channels.end;
        } while (k < problem_.c);
        return true;
    }

    const Problem& problem_;
    WeightMethod method_;
    WeightsOut weights_;
    std::uint8_t* ill_;
    Output grid_;
    bool relu_;
    std::int64_t channels_, samples_;
};

Output output(const MutableView& view) noexcept {
    return {static_cast<char*>(view.data), view.strides[0], view.strides[1]};
}

}  // namespace
}  // namespace camfast::cpu

namespace camfast {

Status fused_cam(CamMethod method, bool relu, const View& activations, const View& gradients,
                 const MutableView& grid, const MutableView& weights, std::uint8_t* ill_conditioned,
                 const Upsampling& upsampling, const MutableView& maps, int threads) noexcept {
    using namespace cpu;
    if (method < CamMethod::gradcam || method > CamMethod::rectified_product)
        return invalid("method", "unknown; it is 0 ... 6");
    const bool two_pass = method <= CamMethod::respond;
    if (!two_pass && weights.data) return invalid("weights", "is given, but this method has none");
    if (!two_pass && ill_conditioned)
        return invalid("ill_conditioned", "is given, but this method has no weights");
    if (upsampling.mode < UpsampleMode::none || upsampling.mode > UpsampleMode::gaussian)
        return invalid("upsampling", "unknown; it is none (0), linear (1) or gaussian (2)");
    Problem problem;
    if (const Status status = make_problem(activations, &gradients, gradients.sizes[0], problem);
        !status.ok())
        return status;
    const std::int64_t n = problem.n, t = problem.t, c = problem.c, p = problem.p;
    const std::int64_t grid_sizes[3] = {n, t, p}, weight_sizes[3] = {n, t, c};
    const bool upsamples = upsampling.mode != UpsampleMode::none;
    if (grid.data || !upsamples)
        if (const Status status = check_output("grid", grid, activations.dtype, grid_sizes); !status.ok())
            return status;
    if (weights.data)
        if (const Status status = check_output("weights", weights, activations.dtype, weight_sizes);
            !status.ok())
            return status;
    if (upsamples) {
        if (const Status status = check_axes(upsampling); !status.ok()) return status;
        if (product(upsampling.grid_sizes) != p)
            return invalid("grid_sizes", "holds sizes whose product is not p");
        const std::int64_t map_sizes[3] = {n, t, product(upsampling.map_sizes)};
        if (const Status status = check_output("maps", maps, activations.dtype, map_sizes); !status.ok())
            return status;
    }
    if (ill_conditioned) std::memset(ill_conditioned, 0, static_cast<std::size_t>(n * t));

    if (n == 0 || t == 0 || (p == 0 && !weights.data)) return {};
    const std::int64_t cells = product(grid_sizes);
    if (cells < 0 || cells > std::numeric_limits<std::int64_t>::max() / problem.result)
        return invalid("grid", "has sizes whose product is no 64-bit number");
    Axes axes;
    if (upsamples)
        if (const Status status = make_axes(upsampling, axes); !status.ok()) return status;

    const auto result = static_cast<std::size_t>(problem.result);
    const Buffer grid_scratch(grid.data ? 1 : static_cast<std::size_t>(cells) * result);
    const Buffer contiguous(two_pass ? static_cast<std::size_t>(n * t * c) * result : 1);
    if (!grid_scratch || !contiguous) return out_of_memory();
    const Output grid_out = grid.data ? output(grid) : Output{grid_scratch.as<char>(), t * p, p};
    const int useful = useful_threads(problem.elements(), threads);
    if (two_pass) {
        TwoPass pass(problem, static_cast<WeightMethod>(method), {contiguous.as<char>(), output(weights)},
                     ill_conditioned, grid_out, relu);
        if (const Status status = pass.run(useful); !status.ok()) return status;
    } else {
        const auto rectify =
            static_cast<Rectify>(static_cast<int>(method) - static_cast<int>(CamMethod::product));
        product_sum_pass(problem, rectify, grid_out, relu, useful);
    }
    if (!upsamples) return {};
    return upsample_maps(axes, accumulator(activations.dtype), n, t,
                         {grid_out.data, grid_out.stride_n, grid_out.stride_t},
                         {static_cast<char*>(maps.data), maps.strides[0], maps.strides[1]}, threads);
}

}  // namespace camfast
