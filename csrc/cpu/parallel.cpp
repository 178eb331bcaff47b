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

/// A loop that is cut into a share for each thread.
struct Loop {
    std::int64_t items;
    int threads;
    void (*task)(void*, std::int64_t);
    void* context;
    Share* shares;

    void cut() const noexcept {
        for (int i = 0; i < threads; ++i) {
            shares[i].next.store(items * i / threads, std::memory_order_relaxed);
            shares[i].end = items * (i + 1) / threads;
        }
    }

    // A thread keeps its share from loop to loop, so that it finds in its cache what it touched before.
    void work(int worker) const noexcept {
        for (int i = 0; i < threads; ++i) {
            Share& share = shares[(worker + i) % threads];
            for (;;) {
                const std::int64_t item = share.next.fetch_add(1, std::memory_order_relaxed);
                if (item >= share.end) break;
                task(context, item);
            }
        }
    }
};

class Pool {
public:
    void run(std::int64_t items, int threads, void (*task)(void*, std::int64_t), void* context) noexcept {
        threads = grow(threads);
        loop_ = {items, threads, task, context, shares_};
        loop_.cut();
        finished_.store(0, std::memory_order_relaxed);
        tickets_.store(threads - 1);
        wake(threads - 1);
        loop_.work(0);
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
            loop_.work(worker);
            finished_.fetch_add(1, std::memory_order_release);
            // A second ticket of the same loop would find no work: let the others have it.
        }
    }

    std::atomic<bool> taken_{false};
    int workers_ = 0;

    Loop loop_{};
    Share shares_[kMaxThreads];
    std::atomic<int> finished_{0};
    std::atomic<int> tickets_{0};

    std::atomic<int> sleepers_{0};
    std::mutex mutex_;
    std::condition_variable condition_;
};

std::atomic<Pool*> the_pool{nullptr};

/// The team of `use_team`: `number` is set first, as `parallel` says that both are there.
std::atomic<decltype(Team::parallel)> team_parallel{nullptr};
std::atomic<decltype(Team::number)> team_number{nullptr};

/// Threads do not survive a fork, and locks may be held by one of them: a child starts with none of either.
void forget_at_fork() noexcept {
#if defined(__unix__) || defined(__APPLE__)
    static const int registered = pthread_atfork(nullptr, nullptr, [] {
        the_pool.store(nullptr);
        team_parallel.store(nullptr);
    });
    static_cast<void>(registered);
#endif
}

/// The pool is never destroyed: its threads may outlive every static object of a process that exits.
Pool* pool() noexcept {
    Pool* current = the_pool.load(std::memory_order_acquire);
    if (current) return current;
    forget_at_fork();
    Pool* fresh = new (std::nothrow) Pool;
    if (fresh && !the_pool.compare_exchange_strong(current, fresh)) {
        delete fresh;
        return current;
    }
    return fresh;
}

/// Threads that a team is asked for at most: their shares stay on the caller's stack.
constexpr int kMaxTeam = 64;

void run_on_team(decltype(Team::parallel) parallel, std::int64_t items, int threads,
                 void (*task)(void*, std::int64_t), void* context) noexcept {
    Share shares[kMaxTeam];
    Loop loop{items, std::min(threads, kMaxTeam), task, context, shares};
    loop.cut();
    // A nested team may have fewer threads than it was asked for; each takes what the others leave.
    parallel([](void* data) { static_cast<const Loop*>(data)->work(team_number.load()()); }, &loop,
             static_cast<unsigned>(loop.threads), 0);
}

}  // namespace

void run_tasks(std::int64_t items, int threads, void (*task)(void*, std::int64_t), void* context) noexcept {
    if (items > 1 && threads > 1) {
        if (const auto parallel = team_parallel.load()) {
            run_on_team(parallel, items, static_cast<int>(std::min<std::int64_t>(items, threads)), task,
                        context);
            return;
        }
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

namespace camfast {

void use_team(Team team) noexcept {
    cpu::forget_at_fork();
    if (team.number)
        cpu::team_number.store(team.number);  // kept for a loop that still runs on the team before
    cpu::team_parallel.store(team.number ? team.parallel : nullptr);
}

}  // namespace camfast
