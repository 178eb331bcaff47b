/// The sums behind channel weights, and what becomes of them; interface as in terms.cuh.
#pragma once

#include "camfast/channel_weights.h"
#include "cuda/terms.cuh"

namespace camfast::cuda {

/// S and sum |A| of a channel stand first wherever both are summed.
constexpr int kActivationSums = 2;
/// Denominators of alpha below this are at its pole, or past it.
constexpr double kNearPole = 2e-4;

template <class Real>
__device__ inline Real magnitude(Real value) {
    return value < 0 ? -value : value;
}

/// Reads A where kReadsActivations, and G where kTargets_ > 0; adds S, sum |A| and sum G A, or those of G
/// alone.
template <class T, int kTargets_, class Access_, bool kReadsActivations>
struct WeightTerm : TermTypes<T, (kTargets_ > 0 ? kTargets_ : 1), Access_> {
    using Real = Accumulator<T>;
    static constexpr int kFirst = kReadsActivations ? kActivationSums : 0;
    static constexpr int kSums = kFirst + kTargets_;
    static constexpr int kGradients = kTargets_ > 0 ? kTargets_ : 1;
    static constexpr int kUnroll = kTargets_ > 1 ? 2 : 4;

    Matrix<T> activations, gradients;

    WeightTerm(const Matrix<T>& activations, const Matrix<T>& gradients)
        : activations(activations), gradients(gradients) {}

    struct Loaded {
        Packet<T> activations, gradients[kGradients];
    };
    struct Reader {
        const WeightTerm& term;
        const T* activations;
        const T* gradients[kGradients];

        __device__ Loaded load(std::int64_t row, const Place& place) const {
            Loaded loaded;
            if constexpr (kReadsActivations)
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
                Real activation = 1;
                if constexpr (kReadsActivations) {
                    activation = widen(loaded.activations.elements[i]);
                    sums[0][i] += activation;
                    sums[1][i] += magnitude(activation);
                }
#pragma unroll
                for (int t = 0; t < kTargets_; ++t)
                    sums[kFirst + t][i] += activation * widen(loaded.gradients[t].elements[i]);
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

__device__ inline float divide(float a, float b) {
    return __fdividef(a, b);
}
__device__ inline double divide(double a, double b) {
    return a / b;
}

/// alpha G with alpha = 1 / (2 + S G) where G > 0, else 0; and 1 for each element at alpha's pole.
template <class Real>
__device__ inline void add_alpha(Real gradient, Real activation_sum, Real& sum, Real& near_pole) {
    const Real denominator = gradient > 0 ? activation_sum * gradient + 2 : Real{2};
    // Not the rectified gradient: an infinity below 0 must come out as NaN, as in 0 * gradient.
    sum += divide(gradient > 0 ? gradient : gradient * 0, denominator);
    near_pole += denominator < static_cast<Real>(kNearPole) ? Real{1} : Real{0};
}

/// The sums of alpha G, then those of elements near a pole, for S of each row (kByRow) or column.
template <class T, int kTargets_, class Access_, bool kByRow>
struct AlphaTerm : TermTypes<T, kTargets_, Access_> {
    using Real = Accumulator<T>;
    static constexpr int kSums = 2 * kTargets_;
    static constexpr int kUnroll = kTargets_ > 1 ? 2 : 4;
    static constexpr int kHeld = kByRow ? 1 : kPacket<T>;

    Matrix<T> gradients;
    const Real* activation_sums;  ///< (N, C, kActivationSums)
    std::int64_t channels;

    AlphaTerm(const Matrix<T>& gradients, const Real* activation_sums, std::int64_t channels)
        : gradients(gradients), activation_sums(activation_sums), channels(channels) {}

    struct Loaded {
        Packet<T> gradients[kTargets_];
    };
    struct Reader {
        const AlphaTerm& term;
        const T* gradients[kTargets_];
        Real activation_sum[kHeld];

        __device__ Loaded load(std::int64_t row, const Place& place) const {
            Loaded loaded;
#pragma unroll
            for (int t = 0; t < kTargets_; ++t)
                loaded.gradients[t] =
                    Access_::load(gradients[t] + row * term.gradients.row, term.gradients.column, place);
            return loaded;
        }
        __device__ void add(const Loaded& loaded, Real (&sums)[kSums][kPacket<T>]) const {
#pragma unroll
            for (int i = 0; i < kPacket<T>; ++i)
#pragma unroll
                for (int t = 0; t < kTargets_; ++t)
                    add_alpha(widen(loaded.gradients[t].elements[i]), activation_sum[kByRow ? 0 : i],
                              sums[t][i], sums[kTargets_ + t][i]);
        }
    };

    __device__ Reader reader(std::int64_t sample, std::int64_t first, std::int64_t targets,
                             std::int64_t row) const {
        Reader reader = at(sample, first, targets);
        reader.activation_sum[0] = __ldg(activation_sums + (sample * channels + row) * kActivationSums);
        return reader;
    }
    __device__ Reader reader(std::int64_t sample, std::int64_t first, std::int64_t targets,
                             const Place& place) const {
        Reader reader = at(sample, first, targets);
#pragma unroll
        for (int i = 0; i < kHeld; ++i) {
            const std::int64_t column = min(place.first + i, place.columns - 1);
            reader.activation_sum[i] =
                __ldg(activation_sums + (sample * channels + column) * kActivationSums);
        }
        return reader;
    }
    __device__ Reader at(std::int64_t sample, std::int64_t first, std::int64_t targets) const {
        Reader reader{*this, {}, {}};
#pragma unroll
        for (int t = 0; t < kTargets_; ++t) reader.gradients[t] = gradients.at(sample, first + t, targets);
        return reader;
    }
};

/// Whether S is a small difference of large numbers.
template <class Real>
__device__ inline bool cancels(Real sum, Real sum_of_magnitudes) {
    return magnitude(sum) < static_cast<Real>(1e-4) * sum_of_magnitudes && sum_of_magnitudes > 0;
}

/// A channel's weight from S and the sum of G, G A or alpha G.
template <class Real>
__device__ inline Real weight(WeightMethod method, Real positions, Real activation_sum, Real target_sum) {
    switch (method) {
        case WeightMethod::gradcam: return target_sum / positions;
        case WeightMethod::xgradcam: return target_sum / (activation_sum + static_cast<Real>(1e-7));
        case WeightMethod::respond:
            return target_sum / (activation_sum + positions * static_cast<Real>(1e-10));
        case WeightMethod::gradcampp: break;
    }
    return target_sum;
}

/// Where weights and flags go: (N, T, C) adjacent over the last, (N, T) or null. Flags are raised, never
/// lowered.
template <class Real>
struct WeightsOut {
    Real* weights;
    std::int64_t n, t;
    std::uint8_t* ill;
    std::int64_t targets;

    __device__ void put(std::int64_t sample, std::int64_t target, std::int64_t channel, Real weight,
                        bool is_ill) const {
        weights[sample * n + target * t + channel] = weight;
        if (is_ill && ill) ill[sample * targets + target] = 1;
    }
};

/// Ends the sums of a WeightTerm as weights.
template <class Real, int kTargets, bool kReadsActivations>
struct WeightFinish {
    static constexpr int kFirst = kReadsActivations ? kActivationSums : 0;
    WeightMethod method;
    Real positions;
    WeightsOut<Real> out;

    __device__ void operator()(std::int64_t sample, std::int64_t first, std::int64_t channel,
                               const Real (&sums)[kFirst + kTargets]) const {
        const bool ill = kReadsActivations && cancels(sums[0], sums[kReadsActivations ? 1 : 0]);
#pragma unroll
        for (int t = 0; t < kTargets; ++t)
            if (first + t < out.targets)
                out.put(sample, first + t, channel, weight(method, positions, sums[0], sums[kFirst + t]),
                        ill);
    }
};

/// Keeps S and sum |A| for AlphaTerm.
template <class Real>
struct ActivationFinish {
    Real* activation_sums;
    std::int64_t channels;

    __device__ void operator()(std::int64_t sample, std::int64_t, std::int64_t channel,
                               const Real (&sums)[kActivationSums]) const {
        Real* const at = activation_sums + (sample * channels + channel) * kActivationSums;
        at[0] = sums[0];
        at[1] = sums[1];
    }
};

/// Ends the sums of an AlphaTerm as weights.
template <class Real, int kTargets>
struct AlphaFinish {
    const Real* activation_sums;
    std::int64_t channels;
    WeightsOut<Real> out;

    __device__ void operator()(std::int64_t sample, std::int64_t first, std::int64_t channel,
                               const Real (&sums)[2 * kTargets]) const {
        const Real* const at = activation_sums + (sample * channels + channel) * kActivationSums;
        const bool ill = cancels(at[0], at[1]);
#pragma unroll
        for (int t = 0; t < kTargets; ++t)
            if (first + t < out.targets)
                out.put(sample, first + t, channel, sums[t], ill || sums[kTargets + t] > 0);
    }
};

}  // namespace camfast::cuda
