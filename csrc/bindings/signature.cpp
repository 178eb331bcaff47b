#include "bindings/signature.h"

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>

namespace py = pybind11;

namespace camfast::bindings {

namespace {

/// The part of DLPack's C ABI, version 1, that is needed: a table of functions by which a library of tensors
/// lets others read them without its headers. https://dmlc.github.io/dlpack/latest/c_api.html
struct DLTensor {
    void* data;
    std::int32_t device_type, device_id, rank;
    std::uint8_t code, bits;
    std::uint16_t lanes;
    const std::int64_t *sizes, *strides;
    std::uint64_t byte_offset;
};
struct ExchangeTable {
    std::uint32_t major, minor;
    const ExchangeTable* older;
    void *allocate, *share, *adopt;
    int (*read)(PyObject* tensor, DLTensor* view);
};

PyObject* found(py::handle owner, const char* name) {
    return owner.attr(name).cast<py::object>().release().ptr();
}

/// What is asked of torch, looked up once and kept for the life of the process, as torch itself is.
struct Torch {
    const ExchangeTable* table = nullptr;
    PyTypeObject *tensor, *parameter;
    PyObject *is_grad_enabled, *is_neg, *tracing_state, *dispatch_modes, *forward_ad;
    PyObject* const requires_grad = PyUnicode_InternFromString("requires_grad");
    PyObject* const current_level = PyUnicode_InternFromString("_current_level");

    Torch() {
        const auto torch = py::module_::import("torch");
        tensor = reinterpret_cast<PyTypeObject*>(found(torch, "Tensor"));
        parameter = reinterpret_cast<PyTypeObject*>(found(torch.attr("nn"), "Parameter"));
        is_grad_enabled = found(torch, "is_grad_enabled");
        is_neg = found(torch.attr("Tensor"), "is_neg");
        tracing_state = found(torch.attr("_C"), "_get_tracing_state");
        dispatch_modes = found(torch.attr("_C"), "_len_torch_dispatch_stack");
        forward_ad = found(torch.attr("autograd"), "forward_ad");
        const py::object capsule = py::getattr(torch.attr("Tensor"), "__dlpack_c_exchange_api__", py::none());
        if (!PyCapsule_IsValid(capsule.ptr(), "dlpack_exchange_api")) return;
        table = static_cast<const ExchangeTable*>(PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api"));
        while (table && table->major > 1) table = table->older;
        if (table && (table->major != 1 || !table->read)) table = nullptr;
    }
};

using Owned = py::object;

/// Takes over a new reference; throws where there is none.
Owned owned(PyObject* result) {
    if (!result) throw py::error_already_set();
    return py::reinterpret_steal<Owned>(result);
}

/// Whether nobody traces or intercepts calls, or asks for forward derivatives.
bool calls_are_direct(const Torch& torch) {
    return owned(PyObject_CallNoArgs(torch.tracing_state)).is_none() &&
           PyLong_AsLong(owned(PyObject_CallNoArgs(torch.dispatch_modes)).ptr()) == 0 &&
           PyLong_AsLong(owned(PyObject_GetAttr(torch.forward_ad, torch.current_level)).ptr()) < 0;
}

constexpr std::size_t kMostTensors = 8;

class Layout {
public:
    Layout(const Torch& torch, std::string& bytes) : torch_(torch), bytes_(bytes) { bytes_.clear(); }

    /// Adds a tensor; false where its address may not be taken. One that is written is compared to all before
    /// it.
    bool add(PyObject* value, bool written) {
        DLTensor view;
        if (count_ == kMostTensors || (Py_TYPE(value) != torch_.tensor && Py_TYPE(value) != torch_.parameter))
            return false;
        if (torch_.table->read(value, &view) != 0) {  // it has no memory of its own
            PyErr_Clear();
            return false;
        }
        std::int64_t last = 0;
        for (int axis = 0; axis < view.rank; ++axis) {
            if (view.sizes[axis] == 0) return false;
            last += (view.sizes[axis] - 1) * view.strides[axis];
        }
        if (!view.data || recorded(value) || negative(value)) return false;
        append(&view.device_type, sizeof view.device_type);
        append(&view.device_id, sizeof view.device_id);
        append(&view.rank, sizeof view.rank);
        append(&view.code, sizeof view.code);
        append(&view.bits, sizeof view.bits);
        append(view.sizes, static_cast<std::size_t>(view.rank) * sizeof *view.sizes);
        append(view.strides, static_cast<std::size_t>(view.rank) * sizeof *view.strides);

        const auto begin = reinterpret_cast<std::uintptr_t>(view.data) + view.byte_offset;
        const auto end = begin + static_cast<std::uintptr_t>(last + 1) * view.bits / 8;
        for (std::size_t i = 0; written && i < count_; ++i)
            bytes_.push_back(begin == begins_[i] ? '=' : begin < ends_[i] && begins_[i] < end ? 'x' : '|');
        begins_[count_] = begin;
        ends_[count_++] = end;
        return true;
    }

    /// Adds a part of the output, which may be missing.
    bool add_output(PyObject* value) {
        if (value != Py_None) return add(value, true);
        skip();
        return true;
    }

    /// Notes that something is no tensor.
    void skip() { bytes_.push_back('-'); }

    /// Notes that outputs come in a tuple: one of one output is no output.
    void enter() { bytes_.push_back('('); }

    Owned bytes() const {
        return owned(PyBytes_FromStringAndSize(bytes_.data(), static_cast<Py_ssize_t>(bytes_.size())));
    }

    Owned addresses() const {
        auto tuple = owned(PyTuple_New(static_cast<Py_ssize_t>(count_)));
        for (std::size_t i = 0; i < count_; ++i)
            PyTuple_SET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i),
                             owned(PyLong_FromSize_t(begins_[i])).release().ptr());
        return tuple;
    }

private:
    bool recorded(PyObject* tensor) const {
        return owned(PyObject_GetAttr(tensor, torch_.requires_grad)).ptr() == Py_True &&
               owned(PyObject_CallNoArgs(torch_.is_grad_enabled)).ptr() == Py_True;
    }
    bool negative(PyObject* tensor) const {
        return owned(PyObject_Vectorcall(torch_.is_neg, &tensor, 1, nullptr)).ptr() == Py_True;
    }
    void append(const void* bytes, std::size_t count) {
        bytes_.append(static_cast<const char*>(bytes), count);
    }

    const Torch& torch_;
    std::string& bytes_;
    std::uintptr_t begins_[kMostTensors], ends_[kMostTensors];
    std::size_t count_ = 0;
};

/// What isn't a tensor among the arguments, with tuples for lists; false where a tensor's address may not be
/// taken.
bool split(PyObject* arguments, const Torch& torch, Layout& layout, Owned& options) {
    PyObject* found[32];
    std::size_t count = 0;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(arguments); ++i) {
        PyObject* const value = PyTuple_GET_ITEM(arguments, i);
        if (PyType_IsSubtype(Py_TYPE(value), torch.tensor)) {
            if (!layout.add(value, false)) return false;
            continue;
        }
        layout.skip();
        if (count == std::size(found)) return false;
        found[count++] = value;
    }
    options = owned(PyTuple_New(static_cast<Py_ssize_t>(count)));
    for (std::size_t i = 0; i < count; ++i)
        PyTuple_SET_ITEM(
            options.ptr(), static_cast<Py_ssize_t>(i),
            PyList_Check(found[i]) ? owned(PyList_AsTuple(found[i])).release().ptr() : Py_NewRef(found[i]));
    return true;
}

Owned pack(std::initializer_list<PyObject*> values) {
    auto tuple = owned(PyTuple_New(static_cast<Py_ssize_t>(values.size())));
    Py_ssize_t i = 0;
    for (PyObject* value : values) PyTuple_SET_ITEM(tuple.ptr(), i++, Py_NewRef(value));
    return tuple;
}

Owned signature(PyObject* arguments, PyObject* out, PyObject* backend) {
    static const Torch* torch = nullptr;  // no guarded static: its lock and the GIL could wait for each other
    if (!torch) torch = new Torch();
    static thread_local std::string bytes;
    if (!torch->table || !calls_are_direct(*torch)) return py::none();

    Layout layout(*torch, bytes);
    Owned options;
    if (!split(arguments, *torch, layout, options)) return py::none();
    if (!PyTuple_Check(out)) {
        if (!layout.add_output(out)) return py::none();
    } else {
        layout.enter();
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(out); ++i)
            if (!layout.add_output(PyTuple_GET_ITEM(out, i))) return py::none();
    }
    const auto key = pack({layout.bytes().ptr(), options.ptr(), backend});
    return pack({key.ptr(), layout.addresses().ptr()});
}

/// The plain C calling convention: pybind11's own costs as much as all of the above.
PyObject* call_signature(PyObject*, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 3 || !PyTuple_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "signature takes a tuple of arguments, the output and the backend");
        return nullptr;
    }
    try {
        return signature(arguments[0], arguments[1], arguments[2]).release().ptr();
    } catch (py::error_already_set& error) {
        error.restore();
        return nullptr;
    }
}

PyMethodDef kMethods[] = {
    {"signature", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(call_signature)), METH_FASTCALL,
     "Layout, options and backend of a call, which decide what its checks say; and its addresses."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void define_signature(py::module_& module) {
    if (PyModule_AddFunctions(module.ptr(), kMethods) != 0) throw py::error_already_set();
}

}  // namespace camfast::bindings
