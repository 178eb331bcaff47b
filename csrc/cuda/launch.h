/// The one way in which kernels are started: on the caller's stream and device, with every error in the
/// status.
///
/// Nothing here is nvcc's own syntax, so that a C++ compiler can build the same sources against an emulation
/// of CUDA.
#pragma once

#include <cuda_runtime.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "camfast/cuda/stream.h"
#include "camfast/status.h"

namespace camfast::cuda {

/// Shared memory that every device gives a block without being asked.
constexpr std::size_t kDefaultSharedBytes = 48 << 10;

/// Blocks, threads of a block, and the bytes that shared_memory() returns.
struct Shape {
    std::int64_t blocks;
    int threads;
    std::size_t shared_bytes = 0;
};

inline Status device_error(const char* name, cudaError_t error) noexcept {
    cudaGetLastError();  // what isn't sticky is reported here, and not by whoever calls CUDA next
    switch (error) {
        case cudaErrorInsufficientDriver:
        case cudaErrorNoDevice:
            return {StatusCode::device_error, name,
                    "no CUDA device, or its driver is missing or older than this build: see what nvidia-smi "
                    "says"};
        case cudaErrorNoKernelImageForDevice:
            return {StatusCode::device_error, name,
                    "the device is older than compute capability 8.0, for which the kernels are built"};
        default: return {StatusCode::device_error, name, cudaGetErrorString(error)};
    }
}

/// Makes a device the thread's current one, and the one before it again at the end.
class DeviceGuard {
public:
    explicit DeviceGuard(int device) noexcept {
        error_ = cudaGetDevice(&before_);
        if (error_ == cudaSuccess && before_ != device) {
            error_ = cudaSetDevice(device);
            changed_ = error_ == cudaSuccess;
        }
    }
    ~DeviceGuard() {
        if (changed_) cudaSetDevice(before_);
    }
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

    cudaError_t error() const noexcept { return error_; }

private:
    int before_ = 0;
    bool changed_ = false;
    cudaError_t error_;
};

/// Queues a kernel; does nothing for no blocks. `name` is what an error is reported under.
template <class... Parameters>
Status launch(const char* name, void (*kernel)(Parameters...), const Shape& shape, const Stream& stream,
              std::common_type_t<Parameters>... arguments) noexcept {
    if (shape.blocks == 0) return {};
    if (shape.blocks > std::numeric_limits<int>::max())
        return {StatusCode::unsupported, name,
                "would need more than 2^31 - 1 blocks: pass fewer samples at a time"};
    const DeviceGuard guard(stream.device);
    if (guard.error() != cudaSuccess) return device_error(name, guard.error());
    if (shape.shared_bytes > kDefaultSharedBytes) {
        const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                       static_cast<int>(shape.shared_bytes));
        if (error != cudaSuccess) return device_error(name, error);
    }
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(shape.blocks));
    config.blockDim = dim3(static_cast<unsigned>(shape.threads));
    config.dynamicSmemBytes = shape.shared_bytes;
    config.stream = static_cast<cudaStream_t>(stream.handle);
    const cudaError_t error = cudaLaunchKernelEx(&config, kernel, arguments...);
    return error == cudaSuccess ? Status{} : device_error(name, error);
}

/// Bytes of a device's second-level cache, asked once; those of a small one where there is no device to ask.
inline std::int64_t cache_bytes(int device) noexcept {
    constexpr int kDevices = 64, kSmall = 6 << 20;
    static std::atomic<int> known[kDevices];
    const bool listed = device >= 0 && device < kDevices;
    int bytes = listed ? known[device].load(std::memory_order_relaxed) : 0;
    if (bytes > 0) return bytes;
    if (cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, device) != cudaSuccess) {
        cudaGetLastError();
        return kSmall;
    }
    if (bytes <= 0) bytes = kSmall;
    if (listed) known[device].store(bytes, std::memory_order_relaxed);
    return bytes;
}

/// Queues zeros.
inline Status clear(const char* name, void* data, std::int64_t bytes, const Stream& stream) noexcept {
    if (bytes == 0) return {};
    const DeviceGuard guard(stream.device);
    if (guard.error() != cudaSuccess) return device_error(name, guard.error());
    const cudaError_t error =
        cudaMemsetAsync(data, 0, static_cast<std::size_t>(bytes), static_cast<cudaStream_t>(stream.handle));
    return error == cudaSuccess ? Status{} : device_error(name, error);
}

}  // namespace camfast::cuda
