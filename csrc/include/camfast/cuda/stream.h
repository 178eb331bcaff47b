/// Where the kernels of a call run, and the memory that they work in.
#pragma once

#include <cstdint>

namespace camfast::cuda {

/// A cudaStream_t (null: the default stream) and the number of its device. Calls are queued on the stream and
/// return at once; they allocate nothing and wait for nothing, so a stream that is being captured takes them
/// too.
struct Stream {
    void* handle = nullptr;
    int device = 0;
};

/// Memory of the device that a call works in, the caller's.
///
/// `scratch` holds anything, is aligned to 16 bytes and is free again for whatever the stream does next.
/// `counters` are 0 on entry and 0 again on return: one set serves all calls of one stream, and no two
/// streams at a time.
struct Workspace {
    void* scratch = nullptr;
    std::int64_t scratch_bytes = 0;
    std::uint32_t* counters = nullptr;
    std::int64_t counter_count = 0;
};

/// What a call wants of its workspace at least.
struct WorkspaceSize {
    std::int64_t scratch_bytes = 0;
    std::int64_t counter_count = 0;
};

}  // namespace camfast::cuda
