/// Sums over the positions in each channel.
#include "cpu/tiles/source.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// Sums over the positions, for each channel; kSums of them at once. `term(read, k, p, sums)` adds to `sums`
/// the terms of one vector: of positions from p on in channel k, or of channels from k on at position p where
/// channels are adjacent; where `read` gives zeros they are 0. The sums of channel k are added to
/// sum[...][k].
template <Adjacent kAdjacent, int kSums, class Term>
CAMFAST_INLINE void add_terms(std::int64_t channels, std::int64_t positions, double* const (&sum)[kSums],
                              Term term) {
    constexpr int kUnroll = kSums == 1 ? 4 : 2;
    constexpr std::int64_t kStep = kDoubleLanes;
    if constexpr (kAdjacent == Adjacent::positions) {
        for (std::int64_t k = 0; k < channels; ++k) {
            Doubles sums[kUnroll][kSums] = {};
            std::int64_t p = 0;
            for (; p + kUnroll * kStep <= positions; p += kUnroll * kStep)
                for (int u = 0; u < kUnroll; ++u) term(Whole{}, k, p + u * kStep, sums[u]);
            for (; p + kStep <= positions; p += kStep) term(Whole{}, k, p, sums[0]);
            if (p < positions) term(Part{static_cast<int>(positions - p)}, k, p, sums[1]);
            for (int s = 0; s < kSums; ++s) {
                for (int u = 1; u < kUnroll; ++u) sums[0][s] += sums[u][s];
                sum[s][k] += total(sums[0][s]);
            }
        }
    } else {
        const auto add_vectors = [&](auto read, std::int64_t k, auto vectors) CAMFAST_INLINE_LAMBDA {
            Doubles sums[vectors][kSums] = {};
            for (std::int64_t p = 0; p < positions; ++p)
                for (int u = 0; u < vectors; ++u) term(read, k + u * kStep, p, sums[u]);
            for (int s = 0; s < kSums; ++s)
                for (int u = 0; u < vectors; ++u) {
                    double* const target = sum[s] + k + u * kStep;
                    store_part(target, read(target) + sums[u][s], read.count);
                }
        };
        std::int64_t k = 0;
        for (; k + kUnroll * kStep <= channels; k += kUnroll * kStep)
            add_vectors(Whole{}, k, Count<kUnroll>{});
        for (; k + kStep <= channels; k += kStep) add_vectors(Whole{}, k, Count<1>{});
        if (k < channels) add_vectors(Part{static_cast<int>(channels - k)}, k, Count<1>{});
    }
}

template <class T, Adjacent kAdjacent>
void activation_sums(Tile activations, std::int64_t channels, std::int64_t positions, double* sum,
                     double* sum_abs) {
    const Source<T, kAdjacent> a(activations);
    add_terms<kAdjacent, 2>(channels, positions, {sum, sum_abs},
                            [a](auto read, std::int64_t k, std::int64_t p, auto& sums) CAMFAST_INLINE_LAMBDA {
                                const Doubles activation = a(read, k, p);
                                sums[0] += activation;
                                sums[1] += absolute(activation);
                            });
}

template <class T, Adjacent kAdjacent>
void gradient_sums(Tile gradients, std::int64_t channels, std::int64_t positions, double* sum) {
    const Source<T, kAdjacent> g(gradients);
    add_terms<kAdjacent, 1>(channels, positions, {sum},
                            [g](auto read, std::int64_t k, std::int64_t p, auto& sums)
                                CAMFAST_INLINE_LAMBDA { sums[0] += g(read, k, p); });
}

template <class T, Adjacent kAdjacent>
void product_sums(Tile activations, Tile gradients, std::int64_t channels, std::int64_t positions,
                  double* sum) {
    const Source<T, kAdjacent> a(activations), g(gradients);
    add_terms<kAdjacent, 1>(channels, positions, {sum},
                            [a, g](auto read, std::int64_t k, std::int64_t p, auto& sums)
                                CAMFAST_INLINE_LAMBDA { sums[0] += a(read, k, p) * g(read, k, p); });
}

template <class T, Adjacent kAdjacent>
void response_sums(Tile activations, Tile gradients, std::int64_t channels, std::int64_t positions,
                   double* sum, double* sum_abs, double* product_sum) {
    const Source<T, kAdjacent> a(activations), g(gradients);
    add_terms<kAdjacent, 3>(channels, positions, {sum, sum_abs, product_sum},
                            [a, g](auto read, std::int64_t k, std::int64_t p, auto& sums)
                                CAMFAST_INLINE_LAMBDA {
                                    const Doubles activation = a(read, k, p);
                                    sums[0] += activation;
                                    sums[1] += absolute(activation);
                                    sums[2] += activation * g(read, k, p);
                                });
}

/// Denominators of alpha below this are at its pole, or past it.
constexpr double kNearPole = 2e-4;

/// gradients / denominators: in float32 where results are, because float64 division would cost more than
/// memory.
template <class T>
CAMFAST_INLINE Doubles divide(Doubles gradients, Doubles denominators) {
    if constexpr (sizeof(T) == sizeof(double)) return gradients / denominators;
    return widen(narrow(gradients) / narrow(denominators));
}

template <class T, Adjacent kAdjacent>
void alpha_sums(Tile gradients, const double* activation_sum, std::int64_t channels, std::int64_t positions,
                double* sum, double* near_pole) {
    const Source<T, kAdjacent> g(gradients);
    const PerChannel<kAdjacent> s{activation_sum};
    add_terms<kAdjacent, 2>(
        channels, positions, {sum, near_pole},
        [g, s](auto read, std::int64_t k, std::int64_t p, auto& sums) CAMFAST_INLINE_LAMBDA {
            const Doubles gradient = g(read, k, p);
            const Doubles denominator = gradient > 0 ? s(read, k) * gradient + 2 : broadcast(2);
            // Not relu(gradient): an infinity below 0 must come out as NaN, as in 0 * gradient.
            sums[0] += divide<T>(gradient > 0 ? gradient : gradient * 0, denominator);
            sums[1] += denominator < kNearPole ? broadcast(1) : Doubles{};
        });
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
