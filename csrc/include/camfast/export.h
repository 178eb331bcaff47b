/// \file
/// What the shared library exports.
#pragma once

/// Marks what `libcamfast.so` exports; all else in it is hidden.
#if defined(__GNUC__) && !defined(_WIN32)
#define CAMFAST_API __attribute__((visibility("default")))
#else
#define CAMFAST_API
#endif
