/// Reading tiles of either layout in vectors.
#pragma once

#include "cpu/tiles/simd.h"
#include "cpu/tiles/tiles.h"

namespace camfast::cpu::CAMFAST_ISA {

constexpr int kPrefetchBytes = 512;

template <int kCount>
struct Count {
    constexpr operator int() const { return kCount; }
};

/// Vector of a tile at channel k and position p, along whichever of the two is adjacent.
template <class T, Adjacent kAdjacent>
struct Source {
    const T* data;
    std::int64_t stride;

    explicit Source(Tile tile) : data(static_cast<const T*>(tile.data)), stride(tile.stride) {}

    template <class Read>
    CAMFAST_INLINE Vector<T> operator()(Read read, std::int64_t k, std::int64_t p) const {
        const T* const source = data + (kAdjacent == Adjacent::positions ? k * stride + p : k + p * stride);
        // Rows are short for the processor's own prefetching, which starts anew at every page.
        __builtin_prefetch(reinterpret_cast<const char*>(source) + kPrefetchBytes);
        return read(source);
    }
};

/// Vector of numbers of which each channel has one.
template <class R, Adjacent kAdjacent>
struct PerChannel {
    const R* values;

    template <class Read>
    CAMFAST_INLINE Vector<R> operator()(Read read, std::int64_t k) const {
        if constexpr (kAdjacent == Adjacent::positions) return Vector<R>{} + values[k];
        return read(values + k);
    }
};

}  // namespace camfast::cpu::CAMFAST_ISA
