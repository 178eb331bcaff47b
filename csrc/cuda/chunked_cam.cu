/// Weights and map of large maps, chunk of channels by chunk, so that the second reading of A comes from the
/// second-level cache: each launch takes the weights of one chunk from memory while it adds the chunk before
/// it to the map.
#include <algorithm>

#include "cuda/passes.h"
#include "cuda/sum_launches.cuh"
#include "cuda/weight_terms.cuh"

namespace camfast::cuda {
namespace {

constexpr const char* kName = "fused_cam";

/// Some channels of one sample, or all channels of some samples.
struct Chunk {
    std::int64_t sample, samples, channel, channels;
};

/// Chunks whose activations have at most `bytes`, and at least one channel.
struct Chunks {
    std::int64_t samples, channels;  ///< of a full chunk
    std::int64_t per_sample, count;

    Chunks(const Problem& problem, std::int64_t bytes) noexcept {
        const std::int64_t row = problem.p * element_size(problem.dtype);
        const std::int64_t fit = std::max<std::int64_t>(1, bytes / std::max<std::int64_t>(1, row));
        per_sample = std::max<std::int64_t>(1, ceil_div(problem.c, fit));
        channels = ceil_div(problem.c, per_sample);
        per_sample = ceil_div(problem.c, channels);
        samples = per_sample > 1 ? 1 : std::min(problem.n, fit / channels);
        count = ceil_div(problem.n, samples) * per_sample;
    }
    Chunk at(const Problem& problem, std::int64_t index) const noexcept {
        const std::int64_t sample = index / per_sample * samples, channel = index % per_sample * channels;
        return {sample, std::min(samples, problem.n - sample), channel,
                std::min(channels, problem.c - channel)};
    }
};

/// One kind of sums of one chunk; no blocks where there is nothing to do.
template <class Term, class Finish>
struct Stage {
    SumPlan plan;
    Term term;
    SumParts<typename Term::Real> parts;
    Finish finish;
};

/// Blocks of the stages in turn, so that readers of memory and of the cache run side by side.
template <class Map, class Weights, class Activations>
__global__ void __launch_bounds__(kSumThreads, 1)
    chunk_kernel(const __grid_constant__ Map map, const __grid_constant__ Weights weights,
                 const __grid_constant__ Activations activations) {
    const auto maps = static_cast<unsigned>(map.plan.blocks()),
               others = static_cast<unsigned>(weights.plan.blocks());
    const unsigned pairs = min(maps, others);
    const unsigned block = blockIdx.x;
    if (block < 2 * pairs ? block % 2 == 0 : block < maps + others && maps > others)
        column_sums(map.plan, map.term, map.parts, map.finish, block < 2 * pairs ? block / 2 : block - pairs);
    else if (block < maps + others)
        row_sums(weights.plan, weights.term, weights.parts, weights.finish,
                 block < 2 * pairs ? block / 2 : block - pairs);
    else
        row_sums(activations.plan, activations.term, activations.parts, activations.finish,
                 block - maps - others);
}

/// What part of the second-level cache a chunk may take: another one, and gradients that go by, share it.
std::int64_t chunk_bytes(WeightMethod method, int device) noexcept {
    const std::int64_t cache = cache_bytes(device);
    return method == WeightMethod::gradcampp ? cache / 4 : cache * 2 / 5;
}

SumPlan chunk_map_plan(const Problem& problem, const Chunk& chunk) noexcept {
    return plan_columns(chunk.samples, 1, 1, chunk.channels, problem.p, problem.packet());
}
SumPlan chunk_weight_plan(const Problem& problem, const Chunk& chunk) noexcept {
    return plan_rows(chunk.samples, 1, 1, chunk.channels, problem.p, problem.packet());
}

/// Workspaces of the three stages of a launch, one behind the other.
constexpr int kStages = 3;
WorkspaceSize stage_size(const Problem& problem, const Chunks& chunks) noexcept {
    WorkspaceSize size;
    // Full chunks, and the smaller ones at the ends of channels and samples.
    const Chunk last_channels = chunks.at(problem, chunks.per_sample - 1);
    for (const Chunk& chunk : {chunks.at(problem, 0), last_channels, chunks.at(problem, chunks.count - 1)}) {
        size = larger(size, parts_size(problem, chunk_map_plan(problem, chunk), false, 1));
        size =
            larger(size, parts_size(problem, chunk_weight_plan(problem, chunk), true, kActivationSums + 1));
    }
    return size;
}

/// The stages of one method, with pointers at the first chunk.
template <class T>
class ChunkedCam {
    using Real = Accumulator<T>;
    using Access = PackedAccess<T>;
    using Map = Stage<WeightedTerm<T, 1, Access, true>, MapFinish<Real, 1>>;
    using Response = Stage<WeightTerm<T, 1, Access, true>, WeightFinish<Real, 1, true>>;
    using Alpha = Stage<AlphaTerm<T, 1, Access, true>, AlphaFinish<Real, 1>>;
    using Activations = Stage<WeightTerm<T, 0, Access, true>, ActivationFinish<Real>>;

public:
    ChunkedCam(const Problem& problem, WeightMethod method, bool relu, const Weights& weights,
               std::uint8_t* ill, const MutableView& grid, Workspace workspace, const Stream& stream) noexcept
        : problem_(problem),
          chunks_(problem, chunk_bytes(method, stream.device)),
          method_(method),
          relu_(relu),
          weights_(weights),
          ill_(ill),
          grid_(grid),
          stream_(stream) {
        if (method == WeightMethod::gradcampp)
            activation_sums_ =
                static_cast<Real*>(take(workspace, problem.n * problem.c * kActivationSums *
                                                       static_cast<std::int64_t>(sizeof(Real))));
        const WorkspaceSize size = stage_size(problem, chunks_);
        for (auto& parts : parts_) {
            parts = {static_cast<Real*>(take(workspace, size.scratch_bytes)), workspace.counters};
            workspace.counters += size.counter_count;
        }
    }

    Status run() noexcept {
        const std::int64_t lag = method_ == WeightMethod::gradcampp ? 2 : 1;
        for (std::int64_t step = 0; step < chunks_.count + lag; ++step) {
            const Map map = map_stage(step - lag);
            const Status status = lag == 1 ? queue(map, response_stage(step), activation_stage(-1))
                                           : queue(map, alpha_stage(step - 1), activation_stage(step));
            if (!status.ok()) return status;
        }
        return {};
    }

private:
    template <class Weights>
    Status queue(const Map& map, const Weights& weights, const Activations& activations) noexcept {
        constexpr std::size_t kShared =
            std::max(columns_shared_bytes<decltype(map.term)>(), rows_shared_bytes<decltype(weights.term)>());
        const std::int64_t blocks = map.plan.blocks() + weights.plan.blocks() + activations.plan.blocks();
        return launch(kName, chunk_kernel<Map, Weights, Activations>, {blocks, kSumThreads, kShared}, stream_,
                      map, weights, activations);
    }

    bool holds(std::int64_t index) const noexcept { return index >= 0 && index < chunks_.count; }
    Chunk chunk(std::int64_t index) const noexcept { return chunks_.at(problem_, holds(index) ? index : 0); }
    SumPlan weight_plan(std::int64_t index) const noexcept {
        return holds(index) ? chunk_weight_plan(problem_, chunk(index)) : SumPlan{};
    }
    Matrix<T> matrix_of(const Source& source, const Chunk& chunk) const noexcept {
        return matrix<T>(source, Adjacent::positions, chunk.sample, chunk.channel);
    }
    Real* sums_of(const Chunk& chunk) const noexcept {
        return activation_sums_ + (chunk.sample * problem_.c + chunk.channel) * kActivationSums;
    }
    Real* weights_of(const Chunk& chunk) const noexcept {
        return static_cast<Real*>(weights_.data) + chunk.sample * weights_.n + chunk.channel;
    }
    WeightsOut<Real> weights_out(const Chunk& chunk) const noexcept {
        return {weights_of(chunk), weights_.n, weights_.t, ill_ ? ill_ + chunk.sample : nullptr, 1};
    }

    Map map_stage(std::int64_t index) const noexcept {
        const Chunk part = chunk(index);
        const bool first = part.channel == 0, last = part.channel + part.channels == problem_.c;
        return {holds(index) ? chunk_map_plan(problem_, part) : SumPlan{},
                {matrix_of(problem_.activations, part), weights_of(part), weights_.n, weights_.t},
                parts_[0],
                {static_cast<Real*>(grid_.data) + part.sample * grid_.strides[0], grid_.strides[0],
                 grid_.strides[1], 1, lowest<Real>(relu_ && last), !first}};
    }
    Response response_stage(std::int64_t index) const noexcept {
        const Chunk part = chunk(index);
        return {weight_plan(index),
                {matrix_of(problem_.activations, part), matrix_of(problem_.gradients, part)},
                parts_[1],
                {method_, static_cast<Real>(problem_.p), weights_out(part)}};
    }
    Alpha alpha_stage(std::int64_t index) const noexcept {
        const Chunk part = chunk(index);
        return {weight_plan(index),
                {matrix_of(problem_.gradients, part), sums_of(part), problem_.c},
                parts_[1],
                {sums_of(part), problem_.c, weights_out(part)}};
    }
    Activations activation_stage(std::int64_t index) const noexcept {
        const Chunk part = chunk(index);
        const Matrix<T> a = matrix_of(problem_.activations, part);
        return {weight_plan(index), {a, a}, parts_[2], {sums_of(part), problem_.c}};
    }

    const Problem& problem_;
    Chunks chunks_;
    WeightMethod method_;
    bool relu_;
    Weights weights_;
    std::uint8_t* ill_;
    const MutableView& grid_;
    Stream stream_;
    Real* activation_sums_ = nullptr;
    SumParts<Real> parts_[kStages];
};

}  // namespace

bool worth_chunks(const Problem& problem, WeightMethod method, int device) noexcept {
    const bool reads_twice = method != WeightMethod::gradcam;
    const bool contiguous = problem.packed && problem.adjacent == Adjacent::positions;
    return reads_twice && contiguous && problem.t == 1 &&
           problem.n * problem.c * problem.p * element_size(problem.dtype) > chunk_bytes(method, device);
}

WorkspaceSize chunked_pass_size(const Problem& problem, WeightMethod method, int device) noexcept {
    WorkspaceSize size = stage_size(problem, Chunks(problem, chunk_bytes(method, device)));
    size = {kStages * size.scratch_bytes, kStages * size.counter_count};
    if (method == WeightMethod::gradcampp)
        size.scratch_bytes += taken(problem.n * problem.c * kActivationSums * problem.result_bytes());
    return size;
}

Status chunked_pass(const Problem& problem, WeightMethod method, bool relu, const Weights& weights,
                    std::uint8_t* ill, const MutableView& grid, Workspace workspace,
                    const Stream& stream) noexcept {
    if (ill)
        if (const Status status = clear(kName, ill, problem.n, stream); !status.ok()) return status;
    return with_element(problem.dtype, [&](auto element) noexcept {
        using T = typename decltype(element)::type;
        return ChunkedCam<T>(problem, method, relu, weights, ill, grid, workspace, stream).run();
    });
}

}  // namespace camfast::cuda
