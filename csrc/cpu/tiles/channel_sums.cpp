/// Sums over the positions in each channel.
#include "cpu/tiles/source.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// Terms that a lane adds up in the type of results before they join a float64 sum.
constexpr std::int64_t kRun = 8;
/// Vectors in flight: sums of a channel, or adjacent channels.
constexpr int kUnroll = 4;
constexpr int kAdjacentVectors = kVectorBytes == 64 ? 4 : 2;

/// What the terms of one vector are added to: one sum in float64 throughout, and kRuns in runs.
template <class T, int kRuns>
struct Sums {
    Wide<Result<T>>& exact;
    Vector<T> (&runs)[kRuns];
};

/// Sums over the positions, for each channel: one that is exact (its target may be null) and kRuns others.
/// `term(read, k, p, sums)` adds the terms of one vector: of positions from p on in channel k, or of channels
/// from k on at position p where channels are adjacent; where `read` gives zeros they are 0. The sums of
/// channel k are added to exact[k] and sum[...][k].
template <class T, Adjacent kAdjacent, int kRuns, class Term>
CAMFAST_INLINE void add_terms(std::int64_t channels, std::int64_t positions, double* exact,
                              double* const (&sum)[kRuns], Term term) {
    using R = Result<T>;
    constexpr std::int64_t kStep = kLanes<T>;
    if constexpr (kAdjacent == Adjacent::positions) {
        for (std::int64_t k = 0; k < channels; ++k) {
            Wide<R> exact_sum = {}, sums[kRuns] = {};
            for (std::int64_t p = 0; p < positions;) {
                const std::int64_t left = positions - p, run = kRun * kUnroll * kStep;
                const std::int64_t end = p + (left < run ? left : run);
                Vector<T> runs[kUnroll][kRuns] = {};
                for (; p + kUnroll * kStep <= end; p += kUnroll * kStep)
                    for (int u = 0; u < kUnroll; ++u)
                        term(Whole<T>{}, k, p + u * kStep, Sums<T, kRuns>{exact_sum, runs[u]});
                for (; p + kStep <= end; p += kStep)
                    term(Whole<T>{}, k, p, Sums<T, kRuns>{exact_sum, runs[0]});
                if (p < end) {
                    term(Part<T>{static_cast<int>(end - p)}, k, p, Sums<T, kRuns>{exact_sum, runs[1]});
                    p = end;
                }
                for (int s = 0; s < kRuns; ++s)
                    add(sums[s], widen((runs[0][s] + runs[1][s]) + (runs[2][s] + runs[3][s])));
            }
            if (exact) exact[k] += total(exact_sum);
            for (int s = 0; s < kRuns; ++s) sum[s][k] += total(sums[s]);
        }
    } else {
        const auto add_vectors = [&](auto read, std::int64_t k, auto vectors) CAMFAST_INLINE_LAMBDA {
            const auto flush = [&](double* target, Wide<R> v) CAMFAST_INLINE_LAMBDA {
                double lanes[kStep];
                store(lanes, v);
                for (int i = 0; i < read.count; ++i) target[i] += lanes[i];
            };
            Wide<R> exact_sums[vectors] = {};
            for (std::int64_t p = 0; p < positions;) {
                const std::int64_t end = p + kRun < positions ? p + kRun : positions;
                Vector<T> runs[vectors][kRuns] = {};
                for (; p < end; ++p)
                    for (int u = 0; u < vectors; ++u)
                        term(read, k + u * kStep, p, Sums<T, kRuns>{exact_sums[u], runs[u]});
                for (int s = 0; s < kRuns; ++s)
                    for (int u = 0; u < vectors; ++u) flush(sum[s] + k + u * kStep, widen(runs[u][s]));
            }
            for (int u = 0; exact && u < vectors; ++u) flush(exact + k + u * kStep, exact_sums[u]);
        };
        std::int64_t k = 0;
        for (; k + kAdjacentVectors * kStep <= channels; k += kAdjacentVectors * kStep)
            add_vectors(Whole<T>{}, k, Count<kAdjacentVectors>{});
        for (; k + kStep <= channels; k += kStep) add_vectors(Whole<T>{}, k, Count<1>{});
        if (k < channels) add_vectors(Part<T>{static_cast<int>(channels - k)}, k, Count<1>{});
    }
}

template <class T, Adjacent kAdjacent>
void activation_sums(Tile activations, std::int64_t channels, std::int64_t positions, double* sum,
                     double* sum_abs) {
    const Source<T, kAdjacent> a(activations);
    add_terms<T, kAdjacent, 1>(channels, positions, sum, {sum_abs},
                               [a](auto read, std::int64_t k, std::int64_t p, auto sums)
                                   CAMFAST_INLINE_LAMBDA {
                                       const Vector<T> activation = a(read, k, p);
                                       add(sums.exact, widen(activation));
                                       sums.runs[0] += absolute(activation);
                                   });
}

template <class T, Adjacent kAdjacent>
void gradient_sums(Tile gradients, std::int64_t channels, std::int64_t positions, double* sum) {
    const Source<T, kAdjacent> g(gradients);
    add_terms<T, kAdjacent, 1>(channels, positions, nullptr, {sum},
                               [g](auto read, std::int64_t k, std::int64_t p, auto sums)
                                   CAMFAST_INLINE_LAMBDA { sums.runs[0] += g(read, k, p); });
}

template <class T, Adjacent kAdjacent>
void product_sums(Tile activations, Tile gradients, std::int64_t channels, std::int64_t positions,
                  double* sum) {
    const Source<T, kAdjacent> a(activations), g(gradients);
    add_terms<T, kAdjacent, 1>(channels, positions, nullptr, {sum},
                               [a, g](auto read, std::int64_t k, std::int64_t p, auto sums)
                                   CAMFAST_INLINE_LAMBDA { sums.runs[0] += a(read, k, p) * g(read, k, p); });
}

template <class T, Adjacent kAdjacent>
void response_sums(Tile activations, Tile gradients, std::int64_t channels, std::int64_t positions,
                   double* sum, double* sum_abs, double* product_sum) {
    const Source<T, kAdjacent> a(activations), g(gradients);
    add_terms<T, kAdjacent, 2>(channels, positions, sum, {sum_abs, product_sum},
                               [a, g](auto read, std::int64_t k, std::int64_t p, auto sums)
                                   CAMFAST_INLINE_LAMBDA {
                                       const Vector<T> activation = a(read, k, p);
                                       add(sums.exact, widen(activation));
                                       sums.runs[0] += absolute(activation);
                                       sums.runs[1] += activation * g(read, k, p);
                                   });
}

/// Denominators of alpha below this are at its pole, or past it.
constexpr double kNearPole = 2e-4;

CAMFAST_INLINE Doubles reciprocal(Doubles v) {
    return 1 / v;
}
/// 1 / v within two units in the last place, for v that are no subnormal numbers: division would take longer
/// than memory.
CAMFAST_INLINE Floats reciprocal(Floats v) {
#if defined(__AVX512F__)
    const Floats estimate = _mm512_maskz_rcp14_ps(0xffff, v);
    const Floats refined = estimate * (1 - v * estimate) + estimate;
    // The refinement of 1/0 and 1/infinity is NaN: infinities for zeros, zeros for infinities.
    constexpr int kZero = 6 << 8, kMinusInfinity = 7 << 16, kInfinity = 8 << 20;
    return _mm512_maskz_fixupimm_ps(0xffff, refined, v, _mm512_set1_epi32(kZero | kMinusInfinity | kInfinity),
                                    0);
#else
    return 1 / v;
#endif
}

/// alpha_sums with S in two parts: 2 + S G may cancel, and is then as exact as with S in float64. Where S may
/// be infinite or NaN, it must not meet a gradient that is not above 0.
template <class T, Adjacent kAdjacent, bool kFinite>
CAMFAST_INLINE bool add_alpha(Tile gradients, const Result<T>* high, const Result<T>* low,
                              std::int64_t channels, std::int64_t positions, double* sum) {
    using R = Result<T>;
    const Source<T, kAdjacent> g(gradients);
    const PerChannel<R, kAdjacent> s_high{high}, s_low{low};
    Vector<T> lowest = Vector<T>{} + 2;
    add_terms<T, kAdjacent, 1>(
        channels, positions, nullptr, {sum},
        [g, s_high, s_low, &lowest](auto read, std::int64_t k, std::int64_t p, auto sums)
            CAMFAST_INLINE_LAMBDA {
                const Vector<T> gradient = g(read, k, p), positive = relu(gradient);
                Vector<T> denominator = s_high(read, k) * positive + 2;
                if constexpr (sizeof(R) < sizeof(double))
                    denominator += s_low(read, k) * positive;
                else
                    static_cast<void>(s_low);  // a float64 has no second part
                if constexpr (!kFinite) denominator = positive > 0 ? denominator : Vector<T>{} + 2;
                lowest = lesser(denominator, lowest);
                sums.runs[0] += positive * reciprocal(denominator);
                sums.runs[0] += gradient * 0;  // NaN where G is an infinity below 0, as alpha G is
            });
    bool near_pole = false;
    for (int i = 0; i < kLanes<T>; ++i) near_pole |= lowest[i] < static_cast<R>(kNearPole);
    return near_pole;
}

template <class T, Adjacent kAdjacent>
bool alpha_sums(Tile gradients, const double* activation_sum, std::int64_t channels, std::int64_t positions,
                double* sum) {
    using R = Result<T>;
    R high[kTileChannels] = {}, low[kTileChannels] = {};
    bool finite = true;
    for (std::int64_t k = 0; k < channels; ++k) {
        high[k] = static_cast<R>(activation_sum[k]);
        finite &= high[k] - high[k] == 0;
        if (finite) low[k] = static_cast<R>(activation_sum[k] - static_cast<double>(high[k]));
    }
    return finite ? add_alpha<T, kAdjacent, true>(gradients, high, low, channels, positions, sum)
                  : add_alpha<T, kAdjacent, false>(gradients, high, low, channels, positions, sum);
}

template <class T, Adjacent kAdjacent>
void fill_layout(LayoutKernels& kernels) {
    kernels.activation_sums = activation_sums<T, kAdjacent>;
    kernels.gradient_sums = gradient_sums<T, kAdjacent>;
    kernels.product_sums = product_sums<T, kAdjacent>;
    kernels.response_sums = response_sums<T, kAdjacent>;
    kernels.alpha_sums = alpha_sums<T, kAdjacent>;
}

template <class T>
void fill(TileKernels& kernels) {
    fill_layout<T, Adjacent::positions>(kernels.layout[static_cast<int>(Adjacent::positions)]);
    fill_layout<T, Adjacent::channels>(kernels.layout[static_cast<int>(Adjacent::channels)]);
}

}  // namespace

void fill_channel_sums(TileTable& table) noexcept {
    fill<float>(table.kernels[static_cast<int>(DType::float32)]);
    fill<double>(table.kernels[static_cast<int>(DType::float64)]);
    fill<BFloat16>(table.kernels[static_cast<int>(DType::bfloat16)]);
    fill<Float16>(table.kernels[static_cast<int>(DType::float16)]);
}

}  // namespace camfast::cpu::CAMFAST_ISA
