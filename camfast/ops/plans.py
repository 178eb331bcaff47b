"""Calls that have passed their checks, kept by everything that the checks depend on, so that the next need none.

A key holds the layout of every tensor (device, dtype, sizes, strides, and how outputs lie to inputs) and the value of
every option. What may differ between two calls of a key is what the tensors hold and where they are.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from camfast.ops import native
from camfast.ops.forms import tensors_of

# Takes the arguments of a call, the addresses of its tensors and its output; returns the output.
Plan = Callable[[tuple[Any, ...], tuple[int, ...], Any], Any]

_MOST = 256
_CONSTANTS = (bool, int, float, str, type(None))


class Plans:
    """The plans of one op. Safe to share between threads: at worst two of them make the same plan."""

    def __init__(self) -> None:
        self._known: dict[Any, Plan] = {}
        self._signature: native.Signature = native.no_signature

    def attempt(self, arguments: tuple[Any, ...], out: Any, backend: str | None) -> Any:
        """Run a call by the plan of its key, and return its output; None where there is no plan."""
        seen = self._signature(arguments, out, backend)
        if seen is None:
            return None
        key, addresses = seen
        try:
            plan = self._known.get(key)
        except TypeError:  # an option that has no hash
            return None
        return None if plan is None else plan(arguments, addresses, out)

    def keep(self, plan: Plan, arguments: tuple[Any, ...], out: Any, backend: str | None) -> None:
        """Keep the plan of a call, unless its tensors or options may mean something else the next time."""
        self._signature = native.signature()
        seen = self._signature(arguments, out, backend)
        if seen is None:
            return
        key, _ = seen
        _, options, _ = key
        if all(map(_is_constant, options)):
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = plan


def plan_of(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    written: Any,
    complete: Callable[[Any, Tensor], Any] | None,
) -> Plan:
    """How a call that a backend's function has just run will run again.

    Parameters
    ----------
    function
        The backend's.
    arguments
        What it was called with, tensors first.
    written
        What it wrote into.
    complete
        Takes the caller's output and a tensor that is read, and allocates what the caller didn't give; None where
        that is nothing.
    """
    bound = function.bind(*arguments, written) if isinstance(function, native.Kernel) else None
    get_num_threads = torch.get_num_threads
    if bound is None:
        count = len(tensors_of(arguments))
        options = arguments[count:]

        def plan(called: tuple[Any, ...], addresses: tuple[int, ...], out: Any) -> Any:  # noqa: ARG001
            out = out if complete is None else complete(out, called[0])
            function(*called[:count], *options, out)
            return out

    elif complete is None:

        def plan(called: tuple[Any, ...], addresses: tuple[int, ...], out: Any) -> Any:  # noqa: ARG001
            bound(addresses, get_num_threads())
            return out

    else:

        def plan(called: tuple[Any, ...], addresses: tuple[int, ...], out: Any) -> Any:
            out = complete(out, called[0])
            results = (out,) if isinstance(out, Tensor) else out
            bound((*addresses, *[result.data_ptr() for result in results if result is not None]), get_num_threads())
            return out

    return plan


def _is_constant(value: Any) -> bool:
    return all(map(_is_constant, value)) if isinstance(value, tuple) else isinstance(value, _CONSTANTS)
