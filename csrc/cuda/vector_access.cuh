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

/// Columns of a matrix that belong to one thread: a packet's worth, out of a tile of `lanes` packets.
///
/// Packed: they are adjacent, and a row of them is one aligned 16-byte load. Otherwise they are `lanes`
/// apart, so that neighbouring threads read neighbours, whatever the stride. Past the end the last columns
/// are read once more; they are not written.
template <class T, bool kPacked>
class Columns {
public:
    __device__ Columns(std::int64_t tile, int lane, int lanes, std::int64_t columns) : columns_(columns) {
        first_ = tile * lanes * kPacket<T> + place(lane, lanes, 0);
        step_ = lanes;
    }

    /// Place of a lane's i-th column in its tile.
    __device__ static int place(int lane, int lanes, int i) {
        return kPacked ? lane * kPacket<T> + i : i * lanes + lane;
    }

    /// This thread's columns of a row that starts at `row`.
    __device__ Packet<T> load(const T* row, std::int64_t stride) const {
        if constexpr (kPacked) {
            return load_packet(row + min(first_, columns_ - kPacket<T>));
        } else {
            Packet<T> packet;
#pragma unroll
            for (int i = 0; i < kPacket<T>; ++i)
                packet.elements[i] = row[min(first_ + i * step_, columns_ - 1) * stride];
            return packet;
        }
    }

private:
    std::int64_t columns_, first_;
    std::int64_t step_;
};

}  // namespace camfast::cuda
