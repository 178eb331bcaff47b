/// \file
/// Where the kernels of a call run, and the memory that they work in.
#pragma once

#include <cstdint>

/// The same ops on the memory of a CUDA device, queued on a stream of the caller's.
///
/// Views hold addresses of the device. Functions may be called from several threads at a time, on workspaces
/// and outputs of their own. The static library `camfast_cuda` has them, and needs no other of camfast.
namespace camfast::cuda {

/// A cudaStream_t (null: the default stream) and the number of its device. Calls are queued on the stream and
/// return at once; they allocate nothing and wait for nothing, so a stream that is being captured takes them
/// too.
struct Stream {
    void* handle = nullptr;  ///< the cudaStream_t
    int device = 0;          ///< the number of its device
};

/// Memory of the device that a call works in, the caller's.
///
/// `scratch` holds anything, is aligned to 16 bytes and is free again for whatever the stream does next.
/// `counters` are 0 on entry and 0 again on return: one set serves all calls of one stream, and no two
/// streams at a time.
struct Workspace {
    void* scratch = nullptr;            ///< on the device
    std::int64_t scratch_bytes = 0;     ///< size of it
    std::uint32_t* counters = nullptr;  ///< on the device
    std::int64_t counter_count = 0;     ///< how many
};

/// What a call wants of its workspace at least.
struct WorkspaceSize {
    std::int64_t scratch_bytes = 0;  ///< of Workspace::scratch
    std::int64_t counter_count = 0;  ///< of Workspace::counters
};

}  // namespace camfast::cuda
