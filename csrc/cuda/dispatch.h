/// From values known at run time to the template that is compiled for them.
#pragma once

#include <type_traits>

#include "camfast/status.h"
#include "camfast/view.h"
#include "cuda/vector_access.cuh"

namespace camfast::cuda {

template <class T>
struct Type {
    using type = T;
};

/// function(Type<T>) for the element type of a dtype that has been checked.
template <class Function>
Status with_element(DType dtype, Function function) noexcept {
    switch (dtype) {
        case DType::float64: return function(Type<double>{});
        case DType::bfloat16: return function(Type<BFloat16>{});
        case DType::float16: return function(Type<Float16>{});
        default: break;
    }
    return function(Type<float>{});
}

/// function(std::true_type) or function(std::false_type).
template <class Function>
Status with_flag(bool flag, Function function) noexcept {
    return flag ? function(std::true_type{}) : function(std::false_type{});
}

}  // namespace camfast::cuda
