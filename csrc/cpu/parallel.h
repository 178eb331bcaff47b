/// Loops over the library's own threads, or the team's of camfast::use_team.
#pragma once

#include <cstdint>
#include <type_traits>

#include "camfast/runtime.h"

namespace camfast::cpu {

/// Runs task(context, i) for every i of 0 ... items - 1, each once, on at most `threads` threads of which the
/// caller is one, and returns when all have run. Runs on the caller alone when another loop has the pool
/// (nested loops included). Tasks must not throw.
///
/// The threads are kept for the life of the process; a forked child starts its own.
void run_tasks(std::int64_t items, int threads, void (*task)(void* context, std::int64_t item),
               void* context) noexcept;

/// body(i) for every i of 0 ... items - 1.
template <class Body>
void parallel_for(std::int64_t items, int threads, Body&& body) noexcept {
    using Function = std::remove_reference_t<Body>;
    run_tasks(
        items, threads, [](void* context, std::int64_t item) { (*static_cast<Function*>(context))(item); },
        &body);
}

}  // namespace camfast::cpu
