/// What a sum is made of: which elements one step reads, and what it adds.
///
/// A term names its Element (type in memory), Real (type of sums), kTargets (targets that share one reading
/// of the activations) and kUnroll (steps whose loads are in flight together). Its reader stands at one
/// sample and group of targets.
#pragma once

#include "cuda/problem.h"
#include "cuda/vector_access.cuh"

namespace camfast::cuda {

/// max(G, lowest_gradient) A, at least lowest_product, for kTargets_ gradients.
template <class T, int kTargets_, bool kPacked>
struct ProductTerm {
    using Element = T;
    using Real = Accumulator<T>;
    using Columns = cuda::Columns<T, kPacked>;
    static constexpr int kTargets = kTargets_;
    static constexpr int kUnroll = kTargets == 1 ? 4 : 2;

    struct Loaded {
        Packet<T> activations, gradients[kTargets];
    };

    const T* activations;
    const T* gradients;
    std::int64_t a_n, a_row, a_column;
    std::int64_t g_t, g_n, g_row, g_column;
    Real lowest_gradient, lowest_product;

    struct Reader {
        const ProductTerm& term;
        const T* activations;
        const T* gradients[kTargets];

        __device__ Loaded load(const Columns& columns, std::int64_t row) const {
            Loaded loaded;
            loaded.activations = columns.load(activations + row * term.a_row, term.a_column);
#pragma unroll
            for (int t = 0; t < kTargets; ++t)
                loaded.gradients[t] = columns.load(gradients[t] + row * term.g_row, term.g_column);
            return loaded;
        }
        __device__ void add(const Loaded& loaded, Real (&sums)[kTargets][kPacket<T>]) const {
#pragma unroll
            for (int i = 0; i < kPacket<T>; ++i) {
                const Real activation = widen(loaded.activations.elements[i]);
#pragma unroll
                for (int t = 0; t < kTargets; ++t) {
                    const Real gradient =
                        at_least(term.lowest_gradient, widen(loaded.gradients[t].elements[i]));
                    sums[t][i] += at_least(term.lowest_product, gradient * activation);
                }
            }
        }
    };

    /// Targets past the last are read as the last.
    __device__ Reader reader(std::int64_t sample, std::int64_t first_target, std::int64_t targets) const {
        Reader reader{*this, activations + sample * a_n, {}};
#pragma unroll
        for (int t = 0; t < kTargets; ++t)
            reader.gradients[t] = gradients + min(first_target + t, targets - 1) * g_t + sample * g_n;
        return reader;
    }
};

}  // namespace camfast::cuda
