/// Sums over the positions in each channel.
#include "cpu/tiles/source.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// sum[k] += sum of term(read, k, p) over the positions: the terms of one vector, of positions from p on in
/// channel k, or of channels from k on at position p where channels are adjacent; zeros where `read` gives
/// zeros.
template <Adjacent kAdjacent, class Term>
CAMFAST_INLINE void add_terms(std::int64_t channels, std::int64_t positions, double* sum, Term term) {
    constexpr int kUnroll = 4;
    constexpr std::int64_t kStep = kDoubleLanes;
    if constexpr (kAdjacent == Adjacent::positions) {
        for (std::int64_t k = 0; k < channels; ++k) {
            Doubles sums[kUnroll] = {};
            std::int64_t p = 0;
            for (; p + kUnroll * kStep <= positions; p += kUnroll * kStep)
                for (int u = 0; u < kUnroll; ++u) sums[u] += term(Whole{}, k, p + u * kStep);
            for (; p + kStep <= positions; p += kStep) sums[0] += term(Whole{}, k, p);
            if (p < positions) sums[1] += term(Part{static_cast<int>(positions - p)}, k, p);
            sum[k] += total((sums[0] + sums[1]) + (sums[2] + sums[3]));
        }
    } else {
        const auto add_vectors = [&](auto read, std::int64_t k, auto vectors) CAMFAST_INLINE_LAMBDA {
            Doubles sums[vectors] = {};
            for (std::int64_t p = 0; p < positions; ++p)
                for (int u = 0; u < vectors; ++u) sums[u] += term(read, k + u * kStep, p);
            for (int u = 0; u < vectors; ++u) {
                double* const target = sum + k + u * kStep;
                store_part(target, read(target) + sums[u], read.count);
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
    add_terms<kAdjacent>(channels, positions, sum,
                         [a](auto read, std::int64_t k, std::int64_t p)
                             CAMFAST_INLINE_LAMBDA { return a(read, k, p); });
    add_terms<kAdjacent>(channels, positions, sum_abs,
                         [a](auto read, std::int64_t k, std::int64_t p)
                             CAMFAST_INLINE_LAMBDA { return absolute(a(read, k, p)); });
}

template <class T, Adjacent kAdjacent>
void gradient_sums(Tile gradients, std::int64_t channels, std::int64_t positions, double* sum) {
    const Source<T, kAdjacent> g(gradients);
    add_terms<kAdjacent>(channels, positions, sum,
                         [g](auto read, std::int64_t k, std::int64_t p)
                             CAMFAST_INLINE_LAMBDA { return g(read, k, p); });
}

template <class T, Adjacent kAdjacent>
void product_sums(Tile activations, Tile gradients, std::int64_t channels, std::int64_t positions,
                  double* sum) {
    const Source<T, kAdjacent> a(activations), g(gradients);
    add_terms<kAdjacent>(channels, positions, sum,
                         [a, g](auto read, std::int64_t k, std::int64_t p)
                             CAMFAST_INLINE_LAMBDA { return a(read, k, p) * g(read, k, p); });
}

/// gradients / denominators: in float32 where results are, because float64 division would cost more than
/// memory.
template <class T>
CAMFAST_INLINE Doubles divide(Doubles gradients, Doubles denominators) {
    if constexpr (sizeof(T) == sizeof(double)) return gradients / denominators;
    return widen(narrow(gradients) / narrow(denominators));
}

template <class T, Adjacent kAdjacent>
bool alpha_sums(Tile gradients, const double* activation_sum, std::int64_t channels, std::int64_t positions,
                double* sum) {
    const Source<T, kAdjacent> g(gradients);
    const PerChannel<kAdjacent> s{activation_sum};
    // The smallest denominator met, per lane: the pole of alpha is where it reaches 0.
    Doubles smallest = broadcast(2);
    add_terms<kAdjacent>(channels, positions, sum,
                         [g, s, &smallest](auto read, std::int64_t k, std::int64_t p) CAMFAST_INLINE_LAMBDA {
                             const Doubles gradient = g(read, k, p);
                             const Doubles denominator =
                                 gradient > 0 ? s(read, k) * gradient + 2 : broadcast(2);
                             smallest = denominator < smallest ? denominator : smallest;
                             // Not relu(gradient): an infinity below 0 must come out as NaN, as in 0 *
                             // gradient.
                             return divide<T>(gradient > 0 ? gradient : gradient * 0, denominator);
                         });
    bool pole = false;
    for (int lane = 0; lane < kDoubleLanes; ++lane) pole |= smallest[lane] < 2e-4;
    return pole;
}

template <class T, Adjacent kAdjacent>
void fill_layout(LayoutKernels& kernels) {
    kernels.activation_sums = activation_sums<T, kAdjacent>;
    kernels.gradient_sums = gradient_sums<T, kAdjacent>;
    kernels.product_sums = product_sums<T, kAdjacent>;
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
