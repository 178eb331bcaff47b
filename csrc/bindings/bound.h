/// Calls of which everything but the addresses and the number of threads is known beforehand.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "bindings/views.h"

namespace camfast::bindings {

/// A function of the module with its arguments, of which those of type Address, which no
/// size, stride or code has, are replaced at each call.
template <class... Parameters>
class Bound {
public:
    Bound(void (*function)(Parameters...), Parameters... arguments)
        : function_(function), arguments_(arguments...) {}

    /// `addresses`, in the order of the function's own: one for each that was not null; the last argument is
    /// the number of threads.
    void operator()(const pybind11::tuple& addresses, int threads) const {
        auto arguments = arguments_;
        std::size_t next = 0;
        std::apply([&](auto&... argument) { (replace(argument, addresses, next), ...); }, arguments);
        if (next != addresses.size()) throw pybind11::value_error("addresses: more than were bound");
        std::get<sizeof...(Parameters) - 1>(arguments) = threads;
        std::apply(function_, arguments);
    }

private:
    template <class Argument>
    static void replace(Argument& argument, const pybind11::tuple& addresses, std::size_t& next) {
        if constexpr (std::is_same_v<Argument, Address>) {
            if (argument == 0) return;
            if (next == addresses.size()) throw pybind11::value_error("addresses: fewer than were bound");
            argument = PyLong_AsSize_t(addresses[next++].ptr());
            if (PyErr_Occurred()) throw pybind11::error_already_set();
        }
    }

    void (*function_)(Parameters...);
    std::tuple<Parameters...> arguments_;
};

/// Defines `name`, and `bind_<name>`, which takes the same arguments and returns a function of (addresses,
/// threads) that makes the call.
template <class... Parameters, class... Names>
void define(pybind11::module_& module, const char* name, void (*function)(Parameters...),
            const Names&... names) {
    module.def(name, function, names...);
    module.def((std::string("bind_") + name).c_str(),
               [function](Parameters... arguments) {
                   return pybind11::cpp_function(Bound<Parameters...>(function, arguments...));
               },
               names...);
}

}  // namespace camfast::bindings
