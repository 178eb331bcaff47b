/// Elements of every dtype, read and written 16 bytes at a time.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "camfast/view.h"

namespace camfast::cuda {

struct BFloat16 {
    std::uint16_t bits;
};
struct Float16 {
    std::uint16_t bits;
};

template <class T>
struct AccumulatorOf {
    using type = float;
};
template <>
struct AccumulatorOf<double> {
    using type = double;
};
/// Type of sums and results: camfast::accumulator.
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

__device__ inline float widen(float value) {
    return value;
}
__device__ inline double widen(double value) {
    return value;
}
__device__ inline float widen(BFloat16 value) {
    return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}
__device__ inline float widen(Float16 value) {
    return __half2float(__ushort_as_half(value.bits));
}

/// NaN stays NaN.
template <class Real>
__device__ inline Real at_least(Real lowest, Real value) {
    return value < lowest ? lowest : value;
}

constexpr int kPacketBytes = 16;

/// Elements of one 16-byte access.
template <class T>
constexpr int kPacket = kPacketBytes / static_cast<int>(sizeof(T));

template <class T>
struct alignas(kPacketBytes) Packet {
    T elements[kPacket<T>];
};

/// One load of 16 aligned bytes of memory that no kernel writes meanwhile.
template <class T>
__device__ inline Packet<T> load_packet(const T* address) {
    const uint4 words = __ldg(reinterpret_cast<const uint4*>(address));
    return reinterpret_cast<const Packet<T>&>(words);
}

template <class T>
__device__ inline void store_packet(T* address, const Packet<T>& packet) {
    *reinterpret_cast<uint4*>(address) = reinterpret_cast<const uint4&>(packet);
}

/// Columns of a matrix that belong to one thread: a packet's worth, out of a tile that `lanes` threads share.
/// The i-th is first + i * step; there are `columns` in all.
struct Place {
    std::int64_t first, columns;
    int step;
};

/// Adjacent columns: one aligned 16-byte load. Their number is a multiple of a packet's elements, and `first`
/// inside, or the last packet is read in its place.
template <class T>
struct PackedAccess {
    static constexpr bool kPacked = true;
    /// Place of a lane's i-th column in its tile.
    __device__ static int column(int lane, int, int i) { return lane * kPacket<T> + i; }
    __device__ static bool holds(const Place& place) { return place.first < place.columns; }
    __device__ static Packet<T> load(const T* row, std::int64_t, const Place& place) {
        return load_packet(row + min(place.first, place.columns - kPacket<T>));
    }
};

/// Columns of any stride, `lanes` apart, so that neighbouring threads read neighbours. Those past the end are
/// read as the last one.
template <class T>
struct StridedAccess {
    static constexpr bool kPacked = false;
    __device__ static int column(int lane, int lanes, int i) { return i * lanes + lane; }
    __device__ static bool holds(const Place&) { return true; }
    __device__ static Packet<T> load(const T* row, std::int64_t stride, const Place& place) {
        Packet<T> packet;
#pragma unroll
        for (int i = 0; i < kPacket<T>; ++i)
            packet.elements[i] = row[min(place.first + i * place.step, place.columns - 1) * stride];
        return packet;
    }
};

/// The same, but those past the end are 0.
template <class T>
struct ZeroFilledAccess : StridedAccess<T> {
    __device__ static Packet<T> load(const T* row, std::int64_t stride, const Place& place) {
        Packet<T> packet;
#pragma unroll
        for (int i = 0; i < kPacket<T>; ++i) {
            const std::int64_t column = place.first + i * place.step;
            packet.elements[i] = column < place.columns ? row[column * stride] : T{};
        }
        return packet;
    }
};

}  // namespace camfast::cuda
