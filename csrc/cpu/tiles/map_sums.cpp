/// Sums over the channels at each position.
#include "camfast/product_sum.h"
#include "cpu/tiles/simd.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// Term of one channel: activations times a weight.
template <class T>
struct Weighted {
    const T* a;
    Doubles w;
    template <class Read>
    CAMFAST_INLINE Doubles operator()(Read read, std::int64_t i) const {
        return read(a + i) * w;
    }
};

/// Term of one channel: activations times gradients; kRectify is a Rectify.
template <class T, int kRectify>
struct Product {
    const T* a;
    const T* g;
    template <class Read>
    CAMFAST_INLINE Doubles operator()(Read read, std::int64_t i) const {
        const Doubles activation = read(a + i), gradient = read(g + i);
        if constexpr (kRectify == static_cast<int>(Rectify::gradients)) return relu(gradient) * activation;
        const Doubles product = gradient * activation;
        return kRectify == static_cast<int>(Rectify::product) ? relu(product) : product;
    }
};

/// tile[p] += the sum of kGroup terms.
template <int kGroup, class Term>
CAMFAST_INLINE void add_group(const Term (&terms)[kGroup], std::int64_t n, double* tile) {
    std::int64_t i = 0;
    for (; i + kDoubleLanes <= n; i += kDoubleLanes) {
        Doubles sum = load(tile + i);
        for (int k = 0; k < kGroup; ++k) sum += terms[k](Whole{}, i);
        store(tile + i, sum);
    }
    if (i < n) {
        const Part part{static_cast<int>(n - i)};
        Doubles sum = part(tile + i);
        for (int k = 0; k < kGroup; ++k) sum += terms[k](part, i);
        std::memcpy(tile + i, &sum, static_cast<std::size_t>(n - i) * sizeof(double));
    }
}

/// Calls `make(r)` for the term of row r, in groups of kGroup rows and the rest one by one.
template <int kGroup, class Make>
CAMFAST_INLINE void add_rows(Make make, std::int64_t rows, std::int64_t n, double* tile) {
    using Term = decltype(make(std::int64_t{}));
    std::int64_t r = 0;
    for (; r + kGroup <= rows; r += kGroup) {
        Term terms[kGroup];
        for (int k = 0; k < kGroup; ++k) terms[k] = make(r + k);
        add_group<kGroup>(terms, n, tile);
    }
    for (; r < rows; ++r) {
        const Term terms[1] = {make(r)};
        add_group<1>(terms, n, tile);
    }
}

template <class T>
void add_weighted(Rows a, const double* w, std::int64_t rows, std::int64_t n, double* tile) {
    const auto* first = static_cast<const T*>(a.data);
    const auto make = [=](std::int64_t r) { return Weighted<T>{first + r * a.stride, broadcast(w[r])}; };
    add_rows<8>(make, rows, n, tile);
}

template <class T, int kRectify>
void add_products(Rows a, Rows g, std::int64_t rows, std::int64_t n, double* tile) {
    const auto* activations = static_cast<const T*>(a.data);
    const auto* gradients = static_cast<const T*>(g.data);
    const auto make = [=](std::int64_t r) {
        return Product<T, kRectify>{activations + r * a.stride, gradients + r * g.stride};
    };
    add_rows<4>(make, rows, n, tile);
}

template <class T>
void write(const double* tile, std::int64_t n, bool add, bool rectify, void* target) {
    auto* out = static_cast<Result<T>*>(target);
    for (std::int64_t i = 0; i < n; ++i) {
        const double sum = add ? static_cast<double>(out[i]) + tile[i] : tile[i];
        out[i] = static_cast<Result<T>>(rectify && sum < 0 ? 0.0 : sum);
    }
}

template <class T>
void fill(TileKernels& kernels) {
    kernels.add_weighted = add_weighted<T>;
    kernels.add_products[0] = add_products<T, 0>;
    kernels.add_products[1] = add_products<T, 1>;
    kernels.add_products[2] = add_products<T, 2>;
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
