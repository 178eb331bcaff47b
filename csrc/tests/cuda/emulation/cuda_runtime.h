/// As much of CUDA as the kernels use, for a C++ compiler: blocks run one after another on the calling
/// thread, the threads of a block by turns, each until it waits for others. Memory of the device is memory of
/// the host.
///
/// What a device would let pass unseen is an error here: shared memory starts as NaN, threads run in an order
/// that changes from launch to launch, a barrier that not all threads reach ends the launch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>

#define __global__
#define __device__
#define __host__
#define __shared__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

using std::max;
using std::min;

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorNoKernelImageForDevice = 209,
    cudaErrorLaunchFailure = 719,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrL2CacheSize = 38,
    cudaDevAttrMaxSharedMemoryPerMultiprocessor = 81,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
};
using cudaStream_t = struct CUstream_st*;

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    std::size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
};

namespace emulation {

/// Calls `body` for each thread of each block.
cudaError_t run(const cudaLaunchConfig_t& config, void (*body)(void*), void* argument);

/// Waits for the threads of the block, or for the lanes `mask` of the warp. `place` tells waiting places
/// apart.
void wait_for_block(const char* file, int line);
void wait_for_warp(unsigned mask);

/// 8 bytes of each lane of the warp, for one exchange between them.
std::uint64_t* exchange_slots();

/// Votes of the block's threads since the last barrier.
int vote(bool predicate, const char* file, int line);

}  // namespace emulation

/// Of the thread that runs now.
inline uint3 threadIdx{}, blockIdx{};
inline dim3 blockDim, gridDim;
constexpr int warpSize = 32;

cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);

inline cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t) {
    std::memset(data, value, bytes);
    return cudaSuccess;
}

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int) {
    return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
    std::tuple<void (*)(Parameters...), std::tuple<Parameters...>> call{kernel, {arguments...}};
    return emulation::run(
        *config,
        [](void* argument) {
            auto& [function, values] = *static_cast<decltype(call)*>(argument);
            std::apply(function, values);
        },
        &call);
}

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    emulation::wait_for_block(file, line);
}
inline int __syncthreads_or(int predicate, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return emulation::vote(predicate != 0, file, line) > 0;
}
inline int __syncthreads_count(int predicate, const char* file = __builtin_FILE(),
                               int line = __builtin_LINE()) {
    return emulation::vote(predicate != 0, file, line);
}
inline void __syncwarp(unsigned mask = ~0u) {
    emulation::wait_for_warp(mask);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace emulation {
template <class T>
T exchange(unsigned mask, T value, int from) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    std::uint64_t* const slots = exchange_slots();
    std::memcpy(&slots[threadIdx.x % warpSize], &value, sizeof value);
    wait_for_warp(mask);
    if (from >= 0 && from < warpSize && (mask >> from & 1)) std::memcpy(&value, &slots[from], sizeof value);
    return value;
}
}  // namespace emulation

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
    return emulation::exchange(mask, value, static_cast<int>(threadIdx.x % warpSize) ^ lanes);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance) {
    return emulation::exchange(mask, value, static_cast<int>(threadIdx.x % warpSize + distance));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance) {
    return emulation::exchange(mask, value,
                               static_cast<int>(threadIdx.x % warpSize) - static_cast<int>(distance));
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane) {
    return emulation::exchange(mask, value, lane % warpSize);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    unsigned ballot = 0;
    for (int lane = 0; lane < warpSize; ++lane)
        ballot |= static_cast<unsigned>(emulation::exchange(mask, predicate != 0, lane) && (mask >> lane & 1))
                  << lane;
    return ballot;
}
inline int __any_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate) != 0;
}

template <class T>
T atomicAdd(T* address, T value) {
    static_assert(std::is_integral_v<T>, "sums of floats in an order that nobody knows");
    const T before = *address;
    *address = before + value;
    return before;
}
inline unsigned atomicInc(unsigned* address, unsigned last) {
    const unsigned before = *address;
    *address = before >= last ? 0 : before + 1;
    return before;
}
inline unsigned atomicOr(unsigned* address, unsigned value) {
    const unsigned before = *address;
    *address |= value;
    return before;
}

template <class T>
T __ldg(const T* address) {
    return *address;
}
template <class T>
T __ldcg(const T* address) {
    return *address;
}
template <class T>
T __ldcs(const T* address) {
    return *address;
}
template <class T>
void __stcs(T* address, T value) {
    *address = value;
}
template <class T>
void __stcg(T* address, T value) {
    *address = value;
}

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline float __fdividef(float a, float b) {
    return a / b;
}
inline int __float2int_rn(float value) {
    return static_cast<int>(std::nearbyint(value));
}
inline unsigned __float2uint_rn(float value) {
    return static_cast<unsigned>(std::nearbyint(value));
}
/// NaN becomes 0.
inline float __saturatef(float value) {
    return value > 0 ? std::min(value, 1.0f) : 0.0f;
}
/// Each hexadecimal digit of the selector is the number of a byte of (high, low).
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
    const std::uint64_t bytes = static_cast<std::uint64_t>(high) << 32 | low;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i)
        result |= static_cast<unsigned>(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    return result;
}
