"""The model that is explained, and its layers by name."""

import difflib
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

_COMPILED = "_orig_mod"
# what wrappers call the module inside: torch.compile, FullyShardedDataParallel, torch's checkpoint_wrapper
_INSIDE = {_COMPILED, "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


def unwrap(model: Any) -> nn.Module:
    """The module behind wrappers: DataParallel and its kin, and ``torch.compile``.

    Raises
    ------
    TypeError
        If the model is not a module whose layers can be reached: TorchScript, an exported program, a function.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            "model is TorchScript, whose layers can't be reached (hooks don't fire there): "
            "explain the Python module it was made from"
        )
    if not isinstance(model, nn.Module):
        hint = ": unflatten it first (torch.export.unflatten)" if type(model).__name__ == "ExportedProgram" else ""
        raise TypeError(f"model must be a torch.nn.Module, found {type(model).__name__}{hint}")
    inner = getattr(model, _COMPILED, None)
    if inner is None and isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        inner = model.module
    return model if inner is None else unwrap(inner)


def find(model: nn.Module, layer: str | nn.Module) -> tuple[str, nn.Module]:
    """The dotted name and the module of a layer.

    Raises
    ------
    TypeError
        If ``layer`` is neither a name nor a module.
    ValueError
        If the model has no such layer; the message gives the closest names.
    """
    if isinstance(layer, nn.Module):
        inner = unwrap(layer)
        for name, module in model.named_modules():
            if module is layer or module is inner:
                return without_wrappers(name), inner
        raise ValueError(f"layer is a {type(layer).__name__} that is not part of the model: give its dotted name")
    if not isinstance(layer, str):
        raise TypeError(f"layer must be a dotted name or a module, found {type(layer).__name__}")
    name = without_wrappers(layer)
    path = _path(model, name)
    if path is None:
        names = [without_wrappers(known) for known, _ in model.named_modules() if known]
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[-3:]
        hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "it has none; '' is the model itself"
        raise ValueError(f"the model has no layer {layer!r}; {hint}")
    return name, unwrap(path[-1])


def names_of(model: nn.Module, layer: str | nn.Module | Sequence[str | nn.Module]) -> tuple[str, ...]:
    """The dotted names of one layer or of several; an ``nn.Sequential`` is one.

    Raises
    ------
    TypeError
        If ``layer`` is neither a name nor a module, nor a sequence of them.
    ValueError
        If the model has no such layer, or none or one twice is named.
    """
    if isinstance(layer, str | nn.Module):
        return (find(model, layer)[0],)
    if not isinstance(layer, Sequence):
        raise TypeError(f"layer must be a dotted name or a module, or a sequence of them, found {type(layer).__name__}")
    names = tuple(find(model, single)[0] for single in layer)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"layer must name at least one layer, each once; found {names}")
    return names


def ancestors(model: nn.Module, name: str) -> list[nn.Module]:
    """The modules that enclose a layer, without the model itself."""
    return (_path(model, name) or [])[1:-1]


def _path(model: nn.Module, name: str) -> list[nn.Module] | None:
    """The modules from the model down to a layer, each without the wrapper of ``torch.compile``; None for no layer."""
    path = [model]
    for part in name.split(".") if name else ():
        module = getattr(path[-1], part, None)
        if not isinstance(module, nn.Module):
            return None
        path.append(getattr(module, _COMPILED, module))
    return path


def without_wrappers(name: str) -> str:
    """The dotted name that a layer has in the model as it was before it, or a part of it, was wrapped."""
    return ".".join(part for part in name.split(".") if part not in _INSIDE)


def is_compiled(module: nn.Module) -> bool:
    """Whether a module is run by ``torch.compile``, ``Module.compile``, or a compiled ``forward``."""
    return (
        _COMPILED in module._modules
        or module._compiled_call_impl is not None
        or "_torchdynamo_orig_callable" in getattr(module.forward, "__dict__", ())
    )
