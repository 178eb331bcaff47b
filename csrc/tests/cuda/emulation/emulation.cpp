/// The emulated device: threads are contexts with stacks of their own, switched where they wait.
#include <cuda_runtime.h>
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace camfast::cuda {

constexpr std::size_t kSharedBytes = 227 << 10;
constexpr std::size_t kGuardBytes = 1 << 10;
uint4 dynamic_shared_memory[(kSharedBytes + kGuardBytes) / sizeof(uint4)];

}  // namespace camfast::cuda

namespace emulation {

namespace {

using camfast::cuda::dynamic_shared_memory;
using camfast::cuda::kGuardBytes;
using camfast::cuda::kSharedBytes;

constexpr std::size_t kStackBytes = 128 << 10;
constexpr unsigned kMaxThreads = 1024;
constexpr unsigned char kPoison = 0xff;  // NaN in every float type, -1 in every integer

enum class State { ready, at_block_barrier, at_warp_barrier, finished };

/// A context is entered once; from then on it is left and met again by jumps, which cost no system call.
struct Thread {
    std::unique_ptr<char[]> stack;
    ucontext_t entry;
    jmp_buf resume;
    uint3 index;
    State state;
    int exchanges;  // by shuffles, modulo 2
};

struct Warp {
    unsigned mask, arrived;
};

struct Barrier {
    unsigned waiting = 0;
    const char* file = nullptr;
    int line = 0;
    int votes = 0, result = 0;
};

std::mutex mutex;
std::vector<Thread> threads(kMaxThreads);
std::uint64_t lanes[2][kMaxThreads];
Warp warps[kMaxThreads / warpSize];
ucontext_t first_entry;
jmp_buf scheduler;
unsigned current, live, count;
Barrier barrier;
void (*body)(void*);
void* argument;
std::string failure;  // of the launch that runs
char message[512] = "";
cudaError_t last_error = cudaSuccess;
long launched = 0;
std::uint64_t schedule = 1;

std::uint64_t next_random() {
    schedule ^= schedule << 13;
    schedule ^= schedule >> 7;
    schedule ^= schedule << 17;
    return schedule;
}

void shuffle(std::vector<unsigned>& order) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[next_random() % i]);
}

void open_block_barrier();
void leave();

/// One thread of block after block.
void thread_main() {
    for (;;) {
        body(argument);
        threads[current].state = State::finished;
        --live;
        if (live > 0 && barrier.waiting == live)
            open_block_barrier();  // a device counts those that have returned
        leave();
    }
}

/// Back to the scheduler, until it chooses this thread again.
void leave() {
    if (_setjmp(threads[current].resume) == 0) _longjmp(scheduler, 1);
}

void wait(State state) {
    threads[current].state = state;
    leave();
}

/// Runs a thread until it leaves.
void enter(unsigned i) {
    current = i;
    threadIdx = threads[i].index;
    if (_setjmp(scheduler) != 0) return;
    if (threads[i].stack) _longjmp(threads[i].resume, 1);
    Thread& thread = threads[i];
    thread.stack.reset(new char[kStackBytes]);
    getcontext(&thread.entry);
    thread.entry.uc_stack.ss_sp = thread.stack.get();
    thread.entry.uc_stack.ss_size = kStackBytes;
    thread.entry.uc_link = nullptr;
    makecontext(&thread.entry, thread_main, 0);
    swapcontext(&first_entry, &thread.entry);
}

void release(State state, unsigned first, unsigned last) {
    for (unsigned i = first; i < last; ++i)
        if (threads[i].state == state) threads[i].state = State::ready;
}

void open_block_barrier() {
    barrier.result = barrier.votes;
    barrier.waiting = 0;
    barrier.votes = 0;
    release(State::at_block_barrier, 0, count);
}

std::string where(const Barrier& barrier) {
    return std::string(barrier.file) + ":" + std::to_string(barrier.line);
}

/// Forgets threads in the middle of a kernel.
void abandon() {
    for (Thread& thread : threads) thread.stack.reset();
}

void run_block(const cudaLaunchConfig_t& config, std::vector<unsigned>& order) {
    auto* const shared = reinterpret_cast<unsigned char*>(dynamic_shared_memory);
    std::memset(shared, kPoison, config.dynamicSmemBytes + kGuardBytes);
    live = count;
    barrier = {};
    const dim3& size = config.blockDim;
    for (unsigned i = 0; i < count; ++i) {
        threads[i].index = {i % size.x, i / size.x % size.y, i / size.x / size.y};
        threads[i].state = State::ready;
        threads[i].exchanges = 0;
    }
    std::fill(std::begin(warps), std::end(warps), Warp{});
    shuffle(order);
    while (live > 0 && failure.empty()) {
        std::reverse(order.begin(), order.end());
        bool progress = false;
        for (const unsigned i : order) {
            if (threads[i].state != State::ready) continue;
            progress = true;
            enter(i);
            if (!failure.empty()) return abandon();
        }
        if (!progress)
            failure = "deadlock: some threads of a block wait for others that will not come" +
                      (barrier.waiting ? " to the barrier at " + where(barrier)
                                       : std::string(" to a warp's barrier"));
    }
    if (!failure.empty()) return abandon();
    for (std::size_t i = 0; i < kGuardBytes; ++i)
        if (shared[config.dynamicSmemBytes + i] != kPoison)
            failure = "a kernel wrote past the shared memory that its launch asked for";
}

}  // namespace

void wait_for_block(const char* file, int line) {
    if (barrier.waiting == 0) {
        barrier.file = file;
        barrier.line = line;
    } else if (barrier.line != line || std::strcmp(barrier.file, file) != 0) {
        failure = "threads of a block wait at different barriers: " + where(barrier) + " and " + file + ":" +
                  std::to_string(line);
        leave();
    }
    if (++barrier.waiting == live) {
        open_block_barrier();
        return;
    }
    wait(State::at_block_barrier);
}

int vote(bool predicate, const char* file, int line) {
    barrier.votes += predicate;
    wait_for_block(file, line);
    const int result = barrier.result;
    wait_for_block(file, line);  // nobody votes again before all have read
    return result;
}

void wait_for_warp(unsigned mask) {
    Warp& warp = warps[current / warpSize];
    const unsigned lane = 1u << current % warpSize;
    if (!(mask & lane) || (warp.arrived != 0 && warp.mask != mask)) {
        failure =
            "lanes of a warp wait for different masks of lanes, or one for a mask that it is not part of";
        leave();
    }
    warp.mask = mask;
    warp.arrived |= lane;
    if (warp.arrived != mask) return wait(State::at_warp_barrier);
    warp.arrived = 0;
    const unsigned first = current / warpSize * warpSize;
    release(State::at_warp_barrier, first, std::min(first + warpSize, count));
}

std::uint64_t* exchange_slots() {
    // Two sets by turns: lanes may write the next values while others still read these.
    Thread& thread = threads[current];
    thread.exchanges ^= 1;
    return lanes[thread.exchanges] + current / warpSize * warpSize;
}

cudaError_t run(const cudaLaunchConfig_t& config, void (*kernel)(void*), void* parameters) {
    const std::lock_guard<std::mutex> lock(mutex);
    count = config.blockDim.x * config.blockDim.y * config.blockDim.z;
    if (count == 0 || count > kMaxThreads || config.dynamicSmemBytes > kSharedBytes)
        return last_error = cudaErrorInvalidConfiguration;
    ++launched;
    failure.clear();
    body = kernel;
    argument = parameters;
    blockDim = config.blockDim;
    gridDim = config.gridDim;
    std::vector<unsigned> order(count), blocks(config.gridDim.x);
    std::iota(order.begin(), order.end(), 0u);
    std::iota(blocks.begin(), blocks.end(), 0u);
    shuffle(blocks);
    for (const unsigned x : blocks)
        for (unsigned y = 0; y < config.gridDim.y; ++y)
            for (unsigned z = 0; z < config.gridDim.z && failure.empty(); ++z) {
                blockIdx = {x, y, z};
                run_block(config, order);
            }
    if (failure.empty()) return cudaSuccess;
    std::snprintf(message, sizeof message, "%s", failure.c_str());
    return last_error = cudaErrorLaunchFailure;
}

}  // namespace emulation

cudaError_t cudaGetDevice(int* device) {
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    return device == 0 ? cudaSuccess : emulation::last_error = cudaErrorInvalidDevice;
}
cudaError_t cudaGetLastError() {
    return std::exchange(emulation::last_error, cudaSuccess);
}
const char* cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaErrorLaunchFailure: return emulation::message;
        case cudaErrorInvalidConfiguration: return "invalid configuration argument";
        case cudaErrorInvalidDevice: return "invalid device ordinal";
        default: return "an error of the emulation";
    }
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    // A small device, so that small tests reach what large inputs do.
    switch (attribute) {
        case cudaDevAttrMultiProcessorCount: *value = 4; break;
        case cudaDevAttrL2CacheSize: *value = 256 << 10; break;
        case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 48 << 10; break;
    }
    return cudaSuccess;
}

/// For the tests, by ctypes: how many kernels were launched, and in which order threads and blocks run from
/// now on.
extern "C" __attribute__((visibility("default"))) long emulation_launched() {
    return emulation::launched;
}
extern "C" __attribute__((visibility("default"))) void emulation_schedule(unsigned long seed) {
    emulation::schedule = 2 * static_cast<std::uint64_t>(seed) + 1;
}
