#include "cpu/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace camfast::cpu {
namespace {

constexpr int kMaxThreads = 256;
// Long enough to bridge the gap between two loops of one op, short enough not to be felt by other processes.
constexpr int kSpins = 400;

void pause() noexcept {
#if defined(__x86_64__)
    _mm_pause();
#else
    std::this_thread::yield();
#endif
}

/// Part of a loop that one thread takes first; others help when theirs is done.
struct alignas(64) Share {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
};

class Pool {
public:
    void run(std::int64_t items, int threads, void (*task)(void*, std::int64_t), void* context) noexcept {
        threads = grow(threads);
        task_ = task;
        context_ = context;
        shares_used_ = threads;
        for (int i = 0; i < threads; ++i) {
            shares_[i].next.store(items * i / threads, std::memory_order_relaxed);
            shares_[i].end = items * (i + 1) / threads;
        }
        finished_.store(0, std::memory_order_relaxed);
        tickets_.store(threads - 1);
        wake(threads - 1);
        work(0);
        // Threads that have not come by now would find nothing left to do.
        const int joined = threads - 1 - tickets_.exchange(0);
        for (int spins = 0; finished_.load(std::memory_order_acquire) != joined; ++spins)
            spins < kSpins ? pause() : std::this_thread::yield();
    }

    bool try_take() noexcept { return !taken_.exchange(true, std::memory_order_acquire); }
    void give_back() noexcept { taken_.store(false, std::memory_order_release); }

private:
    /// Starts threads up to `threads` with the caller; returns how many there are.
    int grow(int threads) noexcept {
        threads = std::min(threads, kMaxThreads);
        while (workers_ + 1 < threads) {
            try {
                std::thread(&Pool::serve, this, workers_ + 1).detach();
            } catch (const std::exception&) {
                break;
            }
            ++workers_;
        }
        return std::min(threads, workers_ + 1);
    }

    void wake(int wanted) noexcept {
        if (sleepers_.load() == 0) return;
        const std::lock_guard lock(mutex_);
        if (wanted >= workers_)
            condition_.notify_all();
        else
            for (int i = 0; i < wanted; ++i) condition_.notify_one();
    }

    void work(int worker) noexcept {
        // A thread keeps its share from loop to loop, so that it finds in its cache what it touched before.
        for (int i = 0; i < shares_used_; ++i) {
            Share& share = shares_[(worker + i) % shares_used_];
            for (;;) {
                const std::int64_t item = share.next.fetch_add(1, std::memory_order_relaxed);
                if (item >= share.end) break;
                task_(context_, item);
            }
        }
    }

    bool take_ticket() noexcept {
        int tickets = tickets_.load();
        while (tickets > 0)
            if (tickets_.compare_exchange_weak(tickets, tickets - 1)) return true;
        return false;
    }

    void serve(int worker) noexcept {
        for (;;) {
            int spins = 0;
            while (!take_ticket()) {
                if (++spins < kSpins) {
                    pause();
                    continue;
                }
                std::unique_lock lock(mutex_);
                ++sleepers_;
                condition_.wait(lock, [this] { return tickets_.load() > 0; });
                --sleepers_;
                spins = 0;
            }
            work(worker);
            finished_.fetch_add(1, std::memory_order_release);
            // A second ticket of the same loop would find no work: let the others have it.
        }
    }

    std::atomic<bool> taken_{false};
    int workers_ = 0;

    void (*task_)(void*, std::int64_t) = nullptr;
    void* context_ = nullptr;
    int shares_used_ = 0;
    Share shares_[kMaxThreads];
    std::atomic<int> finished_{0};
    std::atomic<int> tickets_{0};

    std::atomic<int> sleepers_{0};
    std::mutex mutex_;
    std::condition_variable condition_;
};

std::atomic<Pool*> the_pool{nullptr};

/// The pool is never destroyed: its threads may outlive every static object of a process that exits.
Pool* pool() noexcept {
    Pool* current = the_pool.load(std::memory_order_acquire);
    if (current) return current;
    static std::once_flag at_fork;
    try {
        std::call_once(at_fork, [] {
#if defined(__unix__) || defined(__APPLE__)
            // Threads do not survive a fork, and the old pool's locks may be held by one of them.
            pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr); });
#endif
        });
    } catch (const std::exception&) {
        return nullptr;
    }
    Pool* fresh = new (std::nothrow) Pool;
    if (fresh && !the_pool.compare_exchange_strong(current, fresh)) {
        delete fresh;
        return current;
    }
    return fresh;
}

}  // namespace

void run_tasks(std::int64_t items, int threads, void (*task)(void*, std::int64_t), void* context) noexcept {
    if (items > 1 && threads > 1) {
        Pool* const shared = pool();
        if (shared && shared->try_take()) {
            shared->run(items, static_cast<int>(std::min<std::int64_t>(items, threads)), task, context);
            shared->give_back();
            return;
        }
    }
    for (std::int64_t i = 0; i < items; ++i) task(context, i);
}

}  // namespace camfast::cpu
