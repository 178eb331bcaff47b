/// Scratch memory.
#pragma once

#include <cstddef>
#include <new>

#include "camfast/status.h"

namespace camfast::cpu {

/// Uninitialised memory, aligned to a cache line; null when there is none.
class Buffer {
public:
    explicit Buffer(std::size_t bytes) noexcept
        : data_(::operator new(bytes, std::align_val_t{kAlignment}, std::nothrow)) {}
    ~Buffer() { ::operator delete(data_, std::align_val_t{kAlignment}); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    explicit operator bool() const noexcept { return data_ != nullptr; }
    template <class T>
    T* as() const noexcept {
        return static_cast<T*>(data_);
    }

private:
    static constexpr std::size_t kAlignment = 64;
    void* data_;
};

constexpr Status out_of_memory() noexcept {
    return {StatusCode::out_of_memory, "memory", "there is too little for the scratch space of this call"};
}

}  // namespace camfast::cpu
