#include "camfast/channel_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "cpu/buffer.h"
#include "cpu/parallel.h"
#include "cpu/passes.h"

namespace camfast::cpu {
namespace {

/// A channel's sum is taken over segments, each by one thread: their length must not depend on the number of
/// threads.
constexpr std::int64_t kSegment = 4096;
/// Elements of A that one task takes.
constexpr std::int64_t kTaskElements = 1 << 14;

/// The sums of one channel and segment as they stand in the scratch: S, sum|A|, then one number a target.
constexpr std::int64_t kActivationSums = 2;

class WeightsPass {
public:
    WeightsPass(const Problem& problem, WeightMethod method, Range samples, Range channels,
                WeightsOut weights, std::uint8_t* ill, double* scratch) noexcept
        : problem_(problem),
          method_(method),
          samples_(samples),
          channels_(channels),
          weights_(weights),
          ill_(ill),
          sums_(scratch) {
        segments_ = segments(problem);
        const std::int64_t positions = std::clamp<std::int64_t>(problem.p, 1, kSegment);
        chunk_ = problem.adjacent == Adjacent::channels || problem.packs
                     ? problem.tile_channels()
                     : std::clamp<std::int64_t>(kTaskElements / positions, 1, kTileChannels);
        chunks_ = ceil_div(channels.size(), chunk_);
    }

    static std::int64_t sums_per_segment(const Problem& problem) noexcept {
        return kActivationSums + problem.t;
    }
    static std::int64_t segments(const Problem& problem) noexcept {
        return std::max<std::int64_t>(1, ceil_div(problem.p, kSegment));
    }

    void run(int threads) noexcept {
        const bool rectifies = method_ == WeightMethod::gradcampp;
        const std::int64_t items = samples_.size() * chunks_ * segments_;
        parallel_for(items, threads, [&](std::int64_t item) {
            const Task task = task_of(item);
            sum_task(task);
            if (segments_ > 1) return;
            if (rectifies) alpha_task(task);
            finish(task.sample, task.channels);
        });
        if (segments_ == 1) return;
        if (rectifies) {
            for (std::int64_t sample = samples_.begin; sample < samples_.end; ++sample)
                for (std::int64_t k = channels_.begin; k < channels_.end; ++k)
                    sums(sample, k, 0)[0] = over_segments(sample, k, 0);
            parallel_for(items, threads, [&](std::int64_t item) { alpha_task(task_of(item)); });
        }
        for (std::int64_t sample = samples_.begin; sample < samples_.end; ++sample) finish(sample, channels_);
    }

private:
    struct Task {
        std::int64_t sample;
        Range channels;
        std::int64_t segment;
        Range positions;
    };

    Task task_of(std::int64_t item) const noexcept {
        const std::int64_t segment = item % segments_;
        const std::int64_t chunk = item / segments_ % chunks_;
        const std::int64_t first = channels_.begin + chunk * chunk_;
        return {samples_.begin + item / segments_ / chunks_,
                {first, std::min(first + chunk_, channels_.end)},
                segment,
                {segment * kSegment, std::min((segment + 1) * kSegment, problem_.p)}};
    }

    double* sums(std::int64_t sample, std::int64_t channel, std::int64_t segment) const noexcept {
        const std::int64_t row = (sample - samples_.begin) * channels_.size() + channel - channels_.begin;
        return sums_ + (row * segments_ + segment) * sums_per_segment(problem_);
    }

    /// Calls body(positions) for each tile of a segment.
    template <class Body>
    void for_tiles(Range positions, Body body) const noexcept {
        const std::int64_t step = problem_.tile_positions();
        for (std::int64_t p = positions.begin; p < positions.end; p += step)
            body(Range{p, std::min(p + step, positions.end)});
    }

    void sum_task(const Task& task) const noexcept {
        const std::int64_t rows = task.channels.size();
        const LayoutKernels& kernels = *problem_.sums;
        PackedTile a_space, g_space;
        double sum[kTileChannels] = {}, sum_abs[kTileChannels] = {};
        if (method_ == WeightMethod::gradcampp)
            for_tiles(task.positions, [&](Range part) {
                kernels.activation_sums(activations(task, part, a_space), rows, part.size(), sum, sum_abs);
            });
        else
            for (std::int64_t t = 0; t < problem_.t; ++t) {
                double target_sum[kTileChannels] = {};
                for_tiles(task.positions, [&](Range part) {
                    const Tile g = gradients(task, t, part, g_space);
                    if (method_ == WeightMethod::gradcam) {
                        kernels.gradient_sums(g, rows, part.size(), target_sum);
                        return;
                    }
                    const Tile a = activations(task, part, a_space);
                    if (t == 0)
                        kernels.response_sums(a, g, rows, part.size(), sum, sum_abs, target_sum);
                    else
                        kernels.product_sums(a, g, rows, part.size(), target_sum);
                });
                keep(task, t, target_sum);
            }
        for (std::int64_t r = 0; r < rows; ++r) {
            double* const out = sums(task.sample, task.channels.begin + r, task.segment);
            out[0] = sum[r];
            out[1] = sum_abs[r];
        }
    }

    Tile activations(const Task& task, Range part, PackedTile& space) const noexcept {
        return tile_of(problem_, problem_.activation_plane(task.sample), task.channels, part, space);
    }
    Tile gradients(const Task& task, std::int64_t t, Range part, PackedTile& space) const noexcept {
        return tile_of(problem_, problem_.gradient_plane(t, task.sample), task.channels, part, space);
    }

    void alpha_task(const Task& task) const noexcept {
        const std::int64_t rows = task.channels.size();
        PackedTile g_space;
        double activation_sum[kTileChannels];
        for (std::int64_t r = 0; r < rows; ++r)
            activation_sum[r] = sums(task.sample, task.channels.begin + r, 0)[0];
        for (std::int64_t t = 0; t < problem_.t; ++t) {
            double target_sum[kTileChannels] = {};
            bool near_pole = false;
            for_tiles(task.positions, [&](Range part) {
                near_pole |= problem_.sums->alpha_sums(gradients(task, t, part, g_space), activation_sum,
                                                       rows, part.size(), target_sum);
            });
            keep(task, t, target_sum);
            if (near_pole) flag(task.sample, t);
        }
    }

    void keep(const Task& task, std::int64_t t, const double* target_sum) const noexcept {
        for (std::int64_t r = 0; r < task.channels.size(); ++r)
            sums(task.sample, task.channels.begin + r, task.segment)[kActivationSums + t] = target_sum[r];
    }

    double over_segments(std::int64_t sample, std::int64_t channel, std::int64_t which) const noexcept {
        double sum = 0;
        for (std::int64_t segment = 0; segment < segments_; ++segment)
            sum += sums(sample, channel, segment)[which];
        return sum;
    }

    void finish(std::int64_t sample, Range channels) const noexcept {
        for (std::int64_t k = channels.begin; k < channels.end; ++k) {
            // Of Grad-CAM++ the first segment has had the whole sum since before its second pass.
            const bool whole = method_ == WeightMethod::gradcampp;
            const double s = whole ? sums(sample, k, 0)[0] : over_segments(sample, k, 0);
            const double s_abs = over_segments(sample, k, 1);
            const bool ill = std::abs(s) < 1e-4 * s_abs;
            for (std::int64_t t = 0; t < problem_.t; ++t) {
                const double w = weight(s, over_segments(sample, k, kActivationSums + t));
                put(w, weights_.weights + ((sample * problem_.t + t) * problem_.c + k) * problem_.result);
                if (weights_.copy.data) put(w, weights_.copy.at(problem_, sample, t, k));
                if (ill) flag(sample, t);
            }
        }
    }

    void put(double w, char* out) const noexcept {
        if (problem_.result == sizeof(double)) {
            std::memcpy(out, &w, sizeof w);
        } else {
            const auto rounded = static_cast<float>(w);
            std::memcpy(out, &rounded, sizeof rounded);
        }
    }

    double weight(double activation_sum, double target_sum) const noexcept {
        const auto positions = static_cast<double>(std::max<std::int64_t>(problem_.p, 1));  // of none: 0
        switch (method_) {
            case WeightMethod::gradcam: return target_sum / positions;
            case WeightMethod::xgradcam: return target_sum / (activation_sum + 1e-7);
            case WeightMethod::respond: return target_sum / (activation_sum + positions * 1e-10);
            case WeightMethod::gradcampp: break;
        }
        return target_sum;
    }

    void flag(std::int64_t sample, std::int64_t t) const noexcept {
        if (ill_) __atomic_store_n(&ill_[sample * problem_.t + t], std::uint8_t{1}, __ATOMIC_RELAXED);
    }

    const Problem& problem_;
    WeightMethod method_;
    Range samples_, channels_;
    WeightsOut weights_;
    std::uint8_t* ill_;
    double* sums_;
    std::int64_t segments_, chunk_, chunks_;
};

}  // namespace

std::size_t weights_scratch_bytes(const Problem& problem, std::int64_t samples,
                                  std::int64_t channels) noexcept {
    return static_cast<std::size_t>(samples * channels * WeightsPass::segments(problem) *
                                    WeightsPass::sums_per_segment(problem)) *
           sizeof(double);
}

void weights_pass(const Problem& problem, WeightMethod method, Range samples, Range channels,
                  WeightsOut weights, std::uint8_t* ill, double* scratch, int threads) noexcept {
    WeightsPass(problem, method, samples, channels, weights, ill, scratch).run(threads);
}

}  // namespace camfast::cpu

namespace camfast {

Status channel_weights(WeightMethod method, const View& activations, const View& gradients,
                       const MutableView& weights, std::uint8_t* ill_conditioned, int threads) noexcept {
    using namespace cpu;
    if (method < WeightMethod::gradcam || method > WeightMethod::respond)
        return invalid("method", "unknown; it is gradcam (0), gradcampp (1), xgradcam (2) or respond (3)");
    Problem problem;
    if (const Status status = make_problem(activations, &gradients, gradients.sizes[0], problem);
        !status.ok())
        return status;
    const std::int64_t sizes[3] = {problem.n, problem.t, problem.c};
    if (const Status status = check_output("weights", weights, activations.dtype, sizes); !status.ok())
        return status;
    if (ill_conditioned) std::memset(ill_conditioned, 0, static_cast<std::size_t>(problem.n * problem.t));
    if (problem.n == 0 || problem.t == 0 || problem.c == 0) return {};
    const Buffer scratch(weights_scratch_bytes(problem, problem.n, problem.c));
    const Buffer contiguous(static_cast<std::size_t>(problem.n * problem.t * problem.c * problem.result));
    if (!scratch || !contiguous) return out_of_memory();
    const WeightsOut out{contiguous.as<char>(),
                         {static_cast<char*>(weights.data), weights.strides[0], weights.strides[1]}};
    threads = useful_threads(problem.elements(), threads);
    weights_pass(problem, method, {0, problem.n}, {0, problem.c}, out, ill_conditioned, scratch.as<double>(),
                 threads);
    return {};
}

}  // namespace camfast
