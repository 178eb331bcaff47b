/// What every function of the C++ API returns.
#pragma once

namespace camfast {

enum class StatusCode { ok = 0, invalid_argument = 1, out_of_memory = 2, unsupported = 3, device_error = 4 };

/// Outcome of a call. Both strings are static, or the calling thread's until its next call: the argument that
/// is wrong (of a device_error, the kernel that failed), and what would do; empty when ok.
struct Status {
    StatusCode code = StatusCode::ok;
    const char* argument = "";
    const char* message = "";

    constexpr bool ok() const noexcept { return code == StatusCode::ok; }
};

}  // namespace camfast
