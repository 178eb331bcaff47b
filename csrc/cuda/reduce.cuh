/// What the threads of a block, and the blocks of a launch, share. Sums are taken in one fixed order.
#pragma once

#include <cuda_runtime.h>

namespace camfast::cuda {

extern __shared__ uint4 dynamic_shared_memory[];

/// The block's shared memory, of the bytes that its launch asked for. It holds anything at first.
template <class T>
__device__ inline T* shared_memory() {
    return reinterpret_cast<T*>(dynamic_shared_memory);
}

/// Sum over a warp, the same in every lane.
template <class Real>
__device__ inline Real warp_sum(Real value) {
#pragma unroll
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
    return value;
}

/// Whether this block is the last of `blocks` to come here; what the others wrote before is then visible to
/// its threads through read_shared_result(). The counter is 0 again afterwards. Every thread of the block has
/// to call.
__device__ inline bool last_to_arrive(unsigned* counter, unsigned blocks) {
    __threadfence();
    __syncthreads();
    const bool last = __syncthreads_or(threadIdx.x == 0 && atomicInc(counter, blocks - 1) == blocks - 1) != 0;
    if (last) __threadfence();
    return last;
}

/// A value that another block wrote during this launch, past the first-level cache, which may not know of it.
template <class Real>
__device__ inline Real read_shared_result(const Real* address) {
    return __ldcg(address);
}

}  // namespace camfast::cuda
