/// Sums over the positions of each row.
#include "cpu/tiles/simd.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// Sum of term(read, i) over all positions: a function that gives the terms of one vector of positions from i
/// on, and zeros where `read` does.
template <class Term>
CAMFAST_INLINE double sum_terms(std::int64_t n, Term term) {
    constexpr int kUnroll = 4;
    constexpr std::int64_t kStep = kDoubleLanes;
    Doubles sums[kUnroll] = {};
    std::int64_t i = 0;
    for (; i + kUnroll * kStep <= n; i += kUnroll * kStep)
        for (int u = 0; u < kUnroll; ++u) sums[u] += term(Whole{}, i + u * kStep);
    for (; i + kStep <= n; i += kStep) sums[0] += term(Whole{}, i);
    if (i < n) sums[1] += term(Part{static_cast<int>(n - i)}, i);
    return total((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T>
const T* row(Rows rows, std::int64_t r) {
    return static_cast<const T*>(rows.data) + r * rows.stride;
}

template <class T>
void activation_sums(Rows activations, std::int64_t rows, std::int64_t n, double* sum, double* sum_abs) {
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* a = row<T>(activations, r);
        Doubles magnitude[2] = {};
        sum[r] += sum_terms(n, [a, &magnitude](auto read, std::int64_t i) CAMFAST_INLINE_LAMBDA {
            const Doubles v = read(a + i);
            magnitude[i / kDoubleLanes % 2] += absolute(v);
            return v;
        });
        sum_abs[r] += total(magnitude[0] + magnitude[1]);
    }
}

template <class T>
void gradient_sums(Rows gradients, std::int64_t rows, std::int64_t n, double* sum) {
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* g = row<T>(gradients, r);
        sum[r] += sum_terms(n, [g](auto read, std::int64_t i) CAMFAST_INLINE_LAMBDA { return read(g + i); });
    }
}

template <class T>
void product_sums(Rows activations, Rows gradients, std::int64_t rows, std::int64_t n, double* sum) {
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* a = row<T>(activations, r);
        const T* g = row<T>(gradients, r);
        sum[r] += sum_terms(
            n, [a, g](auto read, std::int64_t i) CAMFAST_INLINE_LAMBDA { return read(a + i) * read(g + i); });
    }
}

/// gradients / denominators: in float32 where results are, because float64 division would cost more than
/// memory.
template <class T>
CAMFAST_INLINE Doubles divide(Doubles gradients, Doubles denominators) {
    if constexpr (sizeof(Result<T>) == sizeof(double)) return gradients / denominators;
    return __builtin_convertvector(
        __builtin_convertvector(gradients, FloatsHalf) / __builtin_convertvector(denominators, FloatsHalf),
        Doubles);
}

template <class T>
bool alpha_sums(Rows gradients, const double* activation_sum, std::int64_t rows, std::int64_t n,
                double* sum) {
    // The smallest denominator met, per lane: the pole of alpha is where it reaches 0.
    Doubles smallest = broadcast(2);
    for (std::int64_t r = 0; r < rows; ++r) {
        const T* g = row<T>(gradients, r);
        const Doubles s = broadcast(activation_sum[r]);
        sum[r] += sum_terms(n, [g, s, &smallest](auto read, std::int64_t i) CAMFAST_INLINE_LAMBDA {
            const Doubles gradient = read(g + i);
            const Doubles denominator = gradient > 0 ? s * gradient + 2 : broadcast(2);
            smallest = denominator < smallest ? denominator : smallest;
            // Not relu(gradient): an infinity below 0 must come out as NaN, as in 0 * gradient.
            return divide<T>(gradient > 0 ? gradient : gradient * 0, denominator);
        });
    }
    bool pole = false;
    for (int lane = 0; lane < kDoubleLanes; ++lane) pole |= smallest[lane] < 2e-4;
    return pole;
}

template <class T>
void fill(TileKernels& kernels) {
    kernels.activation_sums = activation_sums<T>;
    kernels.gradient_sums = gradient_sums<T>;
    kernels.product_sums = product_sums<T>;
    kernels.alpha_sums = alpha_sums<T>;
}

}  // namespace

void fill_channel_sums(TileTable& table) noexcept {
    fill<float>(table.kernels[static_cast<int>(DType::float32)]);
    fill<double>(table.kernels[static_cast<int>(DType::float64)]);
    fill<BFloat16>(table.kernels[static_cast<int>(DType::bfloat16)]);
    fill<Float16>(table.kernels[static_cast<int>(DType::float16)]);
}

}  // namespace camfast::cpu::CAMFAST_ISA
