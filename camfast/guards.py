"""What keeps a model as it was found while it is run for an explanation."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from camfast import layers


@contextmanager
def model_untouched(model: nn.Module) -> Iterator[None]:
    """Run a model's Python code eagerly, and undo what a forward pass does to buffers and autocast's cache."""
    with ExitStack() as stack:
        stack.enter_context(_buffers_restored(model))
        stack.enter_context(_no_autocast_cache())
        stack.enter_context(_eager() if layers.is_compiled_inside(model) else nullcontext())
        yield


@contextmanager
def _buffers_restored(model: nn.Module) -> Iterator[None]:
    """Put back buffers that a forward pass may change: in training mode, or of modules that torch doesn't define."""
    saved: list[tuple[nn.Module, str, Tensor, Tensor]] = []
    for module in model.modules():
        if module.training or not type(module).__module__.startswith("torch.nn."):
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    saved.append((module, name, buffer, buffer.detach().clone()))
    try:
        yield
    finally:
        with torch.no_grad():
            for module, name, buffer, values in saved:
                module._buffers[name] = buffer
                buffer.copy_(values)


@contextmanager
def _no_autocast_cache() -> Iterator[None]:
    """Keep weights that are cast without a graph here out of the caller's own step under autocast."""
    enabled = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(enabled)


class _Eager:
    """Runs compiled parts of a model eagerly, as a compiled module never fires a hook that it was compiled without.

    The stance of the compiler is one for all threads, so the first thread in sets it and the last one out resets it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stance: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._users == 0:
                self._stance = torch.compiler.set_stance("force_eager")
                self._stance.__enter__()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._stance.__exit__(None, None, None)


_eager = _Eager()
