/// \file
/// The library that runs: its version, its instruction set and its threads.
#pragma once

#include "camfast/export.h"
#include "camfast/status.h"

namespace camfast {

/// Version of the library that runs; CAMFAST_VERSION is that of the headers that a program is compiled with.
///
/// \return "major.minor.patch"; static.
CAMFAST_API const char* version() noexcept;

/// The instruction set that the ops run on: the best of this processor, or what the environment variable
/// CAMFAST_CPU_ISA names. It is chosen at the first call of any function, and stays.
///
/// \return "baseline" (what the compiler takes for granted), "avx2" or "avx512"; static.
CAMFAST_API const char* instruction_set() noexcept;

/// What is wrong with CAMFAST_CPU_ISA, where it names a set that this processor or build does not have: every
/// op returns this status then. Outputs are not written.
///
/// \return unsupported, or ok.
CAMFAST_API Status instruction_set_status() noexcept;

/// Another runtime's threads, in the form of libgomp.
struct Team {
    /// Calls body(data) on each of `threads` threads, the caller among them, and returns when all are done;
    /// it may take fewer threads, and is called again from within `body` where loops are nested. `flags` is
    /// 0. GOMP_parallel of libgomp and LLVM's libomp.
    void (*parallel)(void (*body)(void* data), void* data, unsigned threads, unsigned flags);
    /// Which thread of its team calls it, from 0 on: omp_get_thread_num.
    int (*number)();
};

/// Has later calls run on that team's threads, for programs that keep them busy or waiting anyway: a second
/// set of threads would share the processors with them.
///
/// At first, and where `parallel` is null, calls run on threads of the library's own, which are started when
/// they are first wanted and kept; a call that finds them taken by another runs on its caller's thread alone.
/// A forked child starts with the library's own. Safe to call at any time; calls that run already stay where
/// they are.
///
/// \param team  both functions, which must not throw and stay valid as long as they are set.
CAMFAST_API void use_team(Team team) noexcept;

}  // namespace camfast
