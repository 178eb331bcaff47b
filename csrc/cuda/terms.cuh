/// What sums over channels or positions are made of: what one step reads, and what it adds.
///
/// A term names its Element (type in memory), Real (type of sums), Access (how a row is read), kTargets
/// (targets that share one reading of the activations), kSums and kUnroll (steps whose loads are in flight
/// together). Its reader stands at one sample and group of targets; targets past the last are read as the
/// last.
#pragma once

#include "cuda/problem.h"
#include "cuda/vector_access.cuh"

namespace camfast::cuda {

/// Targets that share one reading of the activations, where there are several.
constexpr int kTargetGroup = 4;

/// Samples of matrices: A, or G with its targets.
template <class T>
struct Matrix {
    const T* data;
    std::int64_t t, n, row, column;

    __device__ const T* at(std::int64_t sample, std::int64_t target, std::int64_t targets) const {
        return data + min(target, targets - 1) * t + sample * n;
    }
};

/// `channel` is the first; channels are rows where `adjacent` says that positions are adjacent, else columns.
template <class T>
Matrix<T> matrix(const Source& source, Adjacent adjacent, std::int64_t sample = 0,
                 std::int64_t channel = 0) noexcept {
    const T* const data = static_cast<const T*>(source.data) + sample * source.n + channel * source.c;
    return adjacent == Adjacent::positions ? Matrix<T>{data, source.t, source.n, source.c, source.p}
                                           : Matrix<T>{data, source.t, source.n, source.p, source.c};
}

template <class T, int kTargets_, class Access_>
struct TermTypes {
    using Element = T;
    using Real = Accumulator<T>;
    using Access = Access_;
    static constexpr int kTargets = kTargets_;
    static constexpr int kPer = kPacket<T>;
};

/// max(G, lowest_gradient) A, at least lowest_product.
template <class T, int kTargets_, class Access_>
struct ProductTerm : TermTypes<T, kTargets_, Access_> {
    using Real = Accumulator<T>;
    static constexpr int kSums = kTargets_;
    static constexpr int kUnroll = kTargets_ == 1 ? 4 : 2;

    Matrix<T> activations, gradients;
    Real lowest_gradient, lowest_product;

    ProductTerm(const Matrix<T>& activations, const Matrix<T>& gradients, Real lowest_gradient,
                Real lowest_product)
        : activations(activations),
          gradients(gradients),
          lowest_gradient(lowest_gradient),
          lowest_product(lowest_product) {}

    struct Loaded {
        Packet<T> activations, gradients[kTargets_];
    };
    struct Reader {
        const ProductTerm& term;
        const T* activations;
        const T* gradients[kTargets_];

        __device__ Loaded load(std::int64_t row, const Place& place) const {
            Loaded loaded;
            loaded.activations =
                Access_::load(activations + row * term.activations.row, term.activations.column, place);
#pragma unroll
            for (int t = 0; t < kTargets_; ++t)
                loaded.gradients[t] =
                    Access_::load(gradients[t] + row * term.gradients.row, term.gradients.column, place);
            return loaded;
        }
        __device__ void add(const Loaded& loaded, Real (&sums)[kSums][kPacket<T>]) const {
#pragma unroll
            for (int i = 0; i < kPacket<T>; ++i) {
                const Real activation = widen(loaded.activations.elements[i]);
#pragma unroll
                for (int t = 0; t < kTargets_; ++t) {
                    const Real gradient =
                        at_least(term.lowest_gradient, widen(loaded.gradients[t].elements[i]));
                    sums[t][i] += at_least(term.lowest_product, gradient * activation);
                }
            }
        }
    };

    template <class Where>
    __device__ Reader reader(std::int64_t sample, std::int64_t first, std::int64_t targets,
                             const Where&) const {
        Reader reader{*this, activations.at(sample, 0, 1), {}};
#pragma unroll
        for (int t = 0; t < kTargets_; ++t) reader.gradients[t] = gradients.at(sample, first + t, targets);
        return reader;
    }
};

/// w A, the weights (N, T, C) of the rows (kByRow) or of the columns.
template <class T, int kTargets_, class Access_, bool kByRow>
struct WeightedTerm : TermTypes<T, kTargets_, Access_> {
    using Real = Accumulator<T>;
    static constexpr int kSums = kTargets_;
    static constexpr int kUnroll = 4;
    static constexpr int kWeights = kByRow ? 1 : kPacket<T>;

    Matrix<T> activations;
    const Real* weights;
    std::int64_t w_n, w_t;

    WeightedTerm(const Matrix<T>& activations, const Real* weights, std::int64_t w_n, std::int64_t w_t)
        : activations(activations), weights(weights), w_n(w_n), w_t(w_t) {}

    struct Loaded {
        Packet<T> activations;
        Real weights[kTargets_][kWeights];
    };
    struct Reader {
        const WeightedTerm& term;
        const T* activations;
        const Real* weights[kTargets_];

        __device__ Loaded load(std::int64_t row, const Place& place) const {
            Loaded loaded;
            loaded.activations =
                Access_::load(activations + row * term.activations.row, term.activations.column, place);
#pragma unroll
            for (int t = 0; t < kTargets_; ++t)
#pragma unroll
                for (int i = 0; i < kWeights; ++i)
                    loaded.weights[t][i] = __ldg(weights[t] + (kByRow ? row : place.first + i));
            return loaded;
        }
        __device__ void add(const Loaded& loaded, Real (&sums)[kSums][kPacket<T>]) const {
#pragma unroll
            for (int i = 0; i < kPacket<T>; ++i) {
                const Real activation = widen(loaded.activations.elements[i]);
#pragma unroll
                for (int t = 0; t < kTargets_; ++t)
                    sums[t][i] += loaded.weights[t][kByRow ? 0 : i] * activation;
            }
        }
    };

    template <class Where>
    __device__ Reader reader(std::int64_t sample, std::int64_t first, std::int64_t targets,
                             const Where&) const {
        Reader reader{*this, activations.at(sample, 0, 1), {}};
#pragma unroll
        for (int t = 0; t < kTargets_; ++t)
            reader.weights[t] = weights + sample * w_n + min(first + t, targets - 1) * w_t;
        return reader;
    }
};

/// Ends sums as a map (N, T, results), adjacent over the last: on top of what is there where `adds`, and
/// rectified where `lowest` is 0 (and not where it is -infinity).
template <class Real, int kSums>
struct MapFinish {
    Real* data;
    std::int64_t n, t, targets;
    Real lowest;
    bool adds;

    __device__ void operator()(std::int64_t sample, std::int64_t first, std::int64_t result,
                               const Real (&sums)[kSums]) const {
#pragma unroll
        for (int s = 0; s < kSums; ++s) {
            if (first + s >= targets) break;
            Real* const at = data + sample * n + (first + s) * t + result;
            *at = at_least(lowest, adds ? *at + sums[s] : sums[s]);
        }
    }
};

}  // namespace camfast::cuda
