/// Sums over the channels at each position.
#include "camfast/product_sum.h"
#include "cpu/tiles/source.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// Positions summed at a time where channels are adjacent, channels where positions are.
constexpr int kGroup = 4;

/// sum[p] += sum of term(read, k, p) over the channels: the terms of one vector, of positions from p on in
/// channel k, or of channels from k on at position p where channels are adjacent; zeros where `read` gives
/// zeros.
template <Adjacent kAdjacent, class Term>
CAMFAST_INLINE void add_terms(std::int64_t channels, std::int64_t positions, double* sum, Term term) {
    constexpr std::int64_t kStep = kDoubleLanes;
    if constexpr (kAdjacent == Adjacent::positions) {
        const auto add_channels = [&](std::int64_t k, auto count) CAMFAST_INLINE_LAMBDA {
            const auto add_vector = [&](auto read, std::int64_t p) CAMFAST_INLINE_LAMBDA {
                Doubles sums = read(sum + p);
                for (int i = 0; i < count; ++i) sums += term(read, k + i, p);
                store_part(sum + p, sums, read.count);
            };
            std::int64_t p = 0;
            for (; p + kStep <= positions; p += kStep) add_vector(Whole{}, p);
            if (p < positions) add_vector(Part{static_cast<int>(positions - p)}, p);
        };
        std::int64_t k = 0;
        for (; k + kGroup <= channels; k += kGroup) add_channels(k, Count<kGroup>{});
        for (; k < channels; ++k) add_channels(k, Count<1>{});
    } else {
        const auto add_positions = [&](std::int64_t p, auto count) CAMFAST_INLINE_LAMBDA {
            Doubles sums[count] = {};
            std::int64_t k = 0;
            for (; k + kStep <= channels; k += kStep)
                for (int i = 0; i < count; ++i) sums[i] += term(Whole{}, k, p + i);
            if (k < channels)
                for (int i = 0; i < count; ++i)
                    sums[i] += term(Part{static_cast<int>(channels - k)}, k, p + i);
            for (int i = 0; i < count; ++i) sum[p + i] += total(sums[i]);
        };
        std::int64_t p = 0;
        for (; p + kGroup <= positions; p += kGroup) add_positions(p, Count<kGroup>{});
        for (; p < positions; ++p) add_positions(p, Count<1>{});
    }
}

template <class T, Adjacent kAdjacent>
void add_weighted(Tile activations, const double* weights, std::int64_t channels, std::int64_t positions,
                  double* sum) {
    const Source<T, kAdjacent> a(activations);
    const PerChannel<kAdjacent> w{weights};
    add_terms<kAdjacent>(channels, positions, sum,
                         [a, w](auto read, std::int64_t k, std::int64_t p)
                             CAMFAST_INLINE_LAMBDA { return a(read, k, p) * w(read, k); });
}

template <class T, Adjacent kAdjacent, Rectify kRectify>
void add_products(Tile activations, Tile gradients, std::int64_t channels, std::int64_t positions,
                  double* sum) {
    const Source<T, kAdjacent> a(activations), g(gradients);
    add_terms<kAdjacent>(channels, positions, sum,
                         [a, g](auto read, std::int64_t k, std::int64_t p) CAMFAST_INLINE_LAMBDA {
                             const Doubles activation = a(read, k, p), gradient = g(read, k, p);
                             if constexpr (kRectify == Rectify::gradients) return relu(gradient) * activation;
                             if constexpr (kRectify == Rectify::product) return relu(gradient * activation);
                             return gradient * activation;
                         });
}

template <class T>
void write(const double* sum, std::int64_t n, bool add, bool rectify, void* target) {
    auto* out = static_cast<Result<T>*>(target);
    const auto write_vector = [&](auto read, std::int64_t i) CAMFAST_INLINE_LAMBDA {
        Doubles v = read(sum + i);
        if (add) v += read(out + i);
        if (rectify) v = relu(v);
        store_part(out + i, v, read.count);
    };
    std::int64_t i = 0;
    for (; i + kDoubleLanes <= n; i += kDoubleLanes) write_vector(Whole{}, i);
    if (i < n) write_vector(Part{static_cast<int>(n - i)}, i);
}

template <class T, Adjacent kAdjacent>
void fill_layout(LayoutKernels& kernels) {
    kernels.add_weighted = add_weighted<T, kAdjacent>;
    kernels.add_products[static_cast<int>(Rectify::none)] = add_products<T, kAdjacent, Rectify::none>;
    kernels.add_products[static_cast<int>(Rectify::gradients)] =
        add_products<T, kAdjacent, Rectify::gradients>;
    kernels.add_products[static_cast<int>(Rectify::product)] = add_products<T, kAdjacent, Rectify::product>;
}

template <class T>
void fill(TileKernels& kernels) {
    fill_layout<T, Adjacent::positions>(kernels.layout[static_cast<int>(Adjacent::positions)]);
    fill_layout<T, Adjacent::channels>(kernels.layout[static_cast<int>(Adjacent::channels)]);
    kernels.write = write<T>;
}

}  // namespace

void fill_map_sums(TileTable& table) noexcept {
    fill<float>(table.kernels[static_cast<int>(DType::float32)]);
    fill<double>(table.kernels[static_cast<int>(DType::float64)]);
    fill<BFloat16>(table.kernels[static_cast<int>(DType::bfloat16)]);
    fill<Float16>(table.kernels[static_cast<int>(DType::float16)]);
}

}  // namespace camfast::cpu::CAMFAST_ISA
