/// Sums over the channels at each position.
#include "camfast/product_sum.h"
#include "cpu/tiles/source.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// Channels, or positions where channels are adjacent, that are summed at a time.
constexpr int kGroup = 4;
/// Vectors of adjacent channels that are added up in the type of results before they join a float64 sum.
constexpr std::int64_t kRun = 8;

/// sum[i] += the total of run[i]
CAMFAST_INLINE void add_totals(const Doubles (&runs)[kGroup], double* sum) {
    for (int i = 0; i < kGroup; ++i) sum[i] += total(runs[i]);
}
CAMFAST_INLINE void add_totals(const Floats (&runs)[kGroup], double* sum) {
    const Quad a = fold(runs[0]), b = fold(runs[1]), c = fold(runs[2]), d = fold(runs[3]);
    const Quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Quad cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
    const Quad totals =
        __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    for (int i = 0; i < kGroup; ++i) sum[i] += static_cast<double>(totals[i]);
}

/// sum[p] += sum of term(read, k, p) over the channels: the terms of one vector, of positions from p on in
/// channel k, or of channels from k on at position p where channels are adjacent; zeros where `read` gives
/// zeros.
template <class T, Adjacent kAdjacent, class Term>
CAMFAST_INLINE void add_terms(std::int64_t channels, std::int64_t positions, double* sum, Term term) {
    using R = Result<T>;
    constexpr std::int64_t kStep = kLanes<T>;
    if constexpr (kAdjacent == Adjacent::positions) {
        const auto add_channels = [&](std::int64_t k, auto count) CAMFAST_INLINE_LAMBDA {
            const auto add_vector = [&](auto read, std::int64_t p) CAMFAST_INLINE_LAMBDA {
                Vector<T> run = term(read, k, p);
                for (int i = 1; i < count; ++i) run += term(read, k + i, p);
                auto sums = load_wide<R>(sum + p);
                add(sums, widen(run));
                store(sum + p, sums);
            };
            std::int64_t p = 0;
            for (; p + kStep <= positions; p += kStep) add_vector(Whole<T>{}, p);
            if (p < positions) add_vector(Part<T>{static_cast<int>(positions - p)}, p);
        };
        std::int64_t k = 0;
        for (; k + kGroup <= channels; k += kGroup) add_channels(k, Count<kGroup>{});
        for (; k < channels; ++k) add_channels(k, Count<1>{});
    } else {
        const auto add_positions = [&](std::int64_t p, auto count) CAMFAST_INLINE_LAMBDA {
            for (std::int64_t k = 0; k < channels;) {
                const std::int64_t left = channels - k, end = k + (left < kRun * kStep ? left : kRun * kStep);
                Vector<T> runs[kGroup] = {};
                for (; k + kStep <= end; k += kStep)
                    for (int i = 0; i < count; ++i) runs[i] += term(Whole<T>{}, k, p + i);
                if (k < end)
                    for (int i = 0; i < count; ++i)
                        runs[i] += term(Part<T>{static_cast<int>(end - k)}, k, p + i);
                k = end;
                add_totals(runs, sum + p);
            }
        };
        std::int64_t p = 0;
        for (; p + kGroup <= positions; p += kGroup) add_positions(p, Count<kGroup>{});
        for (; p < positions; ++p) add_positions(p, Count<1>{});
    }
}

template <class T, Adjacent kAdjacent>
void add_weighted(Tile activations, const void* weights, std::int64_t channels, std::int64_t positions,
                  double* sum) {
    const Source<T, kAdjacent> a(activations);
    const PerChannel<Result<T>, kAdjacent> w{static_cast<const Result<T>*>(weights)};
    add_terms<T, kAdjacent>(channels, positions, sum,
                            [a, w](auto read, std::int64_t k, std::int64_t p)
                                CAMFAST_INLINE_LAMBDA { return a(read, k, p) * w(read, k); });
}

template <class T, Adjacent kAdjacent, Rectify kRectify>
void add_products(Tile activations, Tile gradients, std::int64_t channels, std::int64_t positions,
                  double* sum) {
    const Source<T, kAdjacent> a(activations), g(gradients);
    add_terms<T, kAdjacent>(channels, positions, sum,
                            [a, g](auto read, std::int64_t k, std::int64_t p) CAMFAST_INLINE_LAMBDA {
                                const Vector<T> activation = a(read, k, p), gradient = g(read, k, p);
                                if constexpr (kRectify == Rectify::gradients)
                                    return relu(gradient) * activation;
                                if constexpr (kRectify == Rectify::product)
                                    return relu(gradient * activation);
                                return gradient * activation;
                            });
}

template <class T>
void write(const double* sum, std::int64_t n, bool add_to_it, bool rectify, void* target) {
    using R = Result<T>;
    auto* out = static_cast<R*>(target);
    const auto result = [&](auto read, std::int64_t i) CAMFAST_INLINE_LAMBDA {
        auto v = load_wide<R>(sum + i);
        if (add_to_it) add(v, widen(read(out + i)));
        return rectify ? relu(narrow(v)) : narrow(v);
    };
    std::int64_t i = 0;
    for (; i + kLanes<R> <= n; i += kLanes<R>) store(out + i, result(Whole<R>{}, i));
    const int rest = static_cast<int>(n - i);
    if (rest > 0) store_part(out + i, result(Part<R>{rest}, i), rest);
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
