/// \file
/// What every function of the C++ API returns.
#pragma once

namespace camfast {

/// Kinds of outcomes.
enum class StatusCode {
    ok = 0,                ///< done
    invalid_argument = 1,  ///< an argument does not fit; nothing was written
    out_of_memory = 2,     ///< no scratch memory; outputs hold anything
    unsupported = 3,       ///< this processor or build cannot do it
    device_error = 4,      ///< a CUDA kernel could not be launched
};

/// A code's name.
///
/// \param code  any.
/// \return its name as it is written above, or "unknown"; static.
constexpr const char* status_name(StatusCode code) noexcept {
    switch (code) {
        case StatusCode::ok: return "ok";
        case StatusCode::invalid_argument: return "invalid_argument";
        case StatusCode::out_of_memory: return "out_of_memory";
        case StatusCode::unsupported: return "unsupported";
        case StatusCode::device_error: return "device_error";
    }
    return "unknown";
}

/// Outcome of a call. Both strings are empty when ok, else static or the thread's until its next call.
struct Status {
    StatusCode code = StatusCode::ok;  ///< what kind
    const char* argument = "";  ///< the argument that is wrong; of a device_error, the kernel that failed
    const char* message = "";   ///< what is wrong with it, or would do

    /// Whether the call did what it should.
    ///
    /// \return whether the code is StatusCode::ok.
    constexpr bool ok() const noexcept { return code == StatusCode::ok; }
};

}  // namespace camfast
