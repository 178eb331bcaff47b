/// The running maximum of two lines.
#include "cpu/tiles/floats.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {
namespace {

/// As many indices as a vector of R has lanes.
template <class R>
struct Indices {
    using Vector = SignedWords;
};
template <>
struct Indices<double> {
    using Vector = SignedWordsHalf;
};

template <class T>
CAMFAST_INLINE auto load_candidate(const T* source) {
    return load_floats(source);
}
CAMFAST_INLINE Doubles load_candidate(const double* source) {
    return load(source);
}

template <class T>
CAMFAST_INLINE void keep_at(const Result<T>* values, const std::int32_t* index, const T* candidate,
                            std::int32_t unit, Result<T>* values_out, std::int32_t* index_out) {
    using Values = Vector<Result<T>>;
    using Units = typename Indices<Result<T>>::Vector;
    const Values value = load_as<Values>(values);
    const Values other = load_candidate(candidate);
    const auto takes = (other > value) | ((other != other) & (value == value));
    const Units mask = __builtin_convertvector(takes, Units);
    const Units old = load_as<Units>(index);
    store(values_out, takes ? other : value);
    store(index_out, mask ? Units{} + unit : old);
}

template <class T>
void keep_larger(const void* values, const std::int32_t* index, const void* candidate, std::int32_t unit,
                 std::int64_t n, void* values_out, std::int32_t* index_out) {
    constexpr std::int64_t kStep = kLanes<T>;
    using R = Result<T>;
    const auto* value = static_cast<const R*>(values);
    const auto* other = static_cast<const T*>(candidate);
    auto* out = static_cast<R*>(values_out);
    std::int64_t i = 0;
    for (; i + kStep <= n; i += kStep)
        keep_at<T>(value + i, index + i, other + i, unit, out + i, index_out + i);
    if (i == n) return;
    const auto rest = static_cast<std::size_t>(n - i);
    R last_values[kStep] = {};
    T last_candidates[kStep] = {};
    std::int32_t last_index[kStep] = {};
    std::memcpy(last_values, value + i, rest * sizeof(R));
    std::memcpy(last_candidates, other + i, rest * sizeof(T));
    std::memcpy(last_index, index + i, rest * sizeof(std::int32_t));
    keep_at<T>(last_values, last_index, last_candidates, unit, last_values, last_index);
    std::memcpy(out + i, last_values, rest * sizeof(R));
    std::memcpy(index_out + i, last_index, rest * sizeof(std::int32_t));
}

}  // namespace

void fill_running_max(TileTable& table) noexcept {
    table.kernels[static_cast<int>(DType::float32)].keep_larger = keep_larger<float>;
    table.kernels[static_cast<int>(DType::float64)].keep_larger = keep_larger<double>;
    table.kernels[static_cast<int>(DType::bfloat16)].keep_larger = keep_larger<BFloat16>;
    table.kernels[static_cast<int>(DType::float16)].keep_larger = keep_larger<Float16>;
}

}  // namespace camfast::cpu::CAMFAST_ISA
