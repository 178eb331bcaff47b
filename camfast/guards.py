"""What keeps a model as it was found while it is run for an explanation."""

import inspect
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from camfast import layers
from camfast.errors import TrainingModeWarning

_UNSTEADY = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


@contextmanager
def model_untouched(model: nn.Module) -> Iterator[None]:
    """Run a model's Python code eagerly, and keep what a run does to it and to autocast's cache from the model."""
    modules = list(model.modules())
    with _sharded_parameters(modules), _buffers(modules), _no_autocast_cache(), eager(modules):
        yield


@contextmanager
def _sharded_parameters(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Put back the parameters that FullyShardedDataParallel takes away for a backward pass whose end it doesn't see."""
    sharded = any("_fsdp_wrapped_module" in module._modules for module in modules)
    before = [(module, dict(module._parameters)) for module in modules if module._parameters] if sharded else []
    try:
        yield
    finally:
        for module, own in before:
            for name, parameter in own.items():
                if module._parameters.get(name) is not parameter:
                    vars(module).pop(name, None)  # a view of the flat parameter stands there
                    module._parameters[name] = parameter


def eager(modules: Iterable[nn.Module]) -> AbstractContextManager[None]:
    """Run those of a model's modules that are compiled by their Python code."""
    return _eager() if any(map(layers.is_compiled, modules)) else nullcontext()


class Chance:
    """Where the random generators stand before a run of a model that may draw from them.

    Parameters
    ----------
    model
        The model; only one with parts in training mode is taken to draw.
    """

    def __init__(self, model: nn.Module) -> None:
        draws = any(module.training for module in model.modules())
        self._cpu = torch.get_rng_state() if draws else None
        self._gpu: int | None = None
        in_use = draws and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        if in_use and not torch.cuda.is_current_stream_capturing():
            self._gpu, self._of_gpu = torch.cuda.current_device(), torch.cuda.get_rng_state()

    def put_back(self) -> None:
        """Have the next run draw the same numbers."""
        if self._cpu is not None and not torch.equal(self._cpu, torch.get_rng_state()):
            torch.set_rng_state(self._cpu)
        if self._gpu is not None:
            torch.cuda.set_rng_state(self._of_gpu, self._gpu)


def level_of_caller() -> int:
    """The stack level, as `warnings.warn` counts from the function that asks, of the code that called camfast."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "camfast":
        level, frame = level + 1, frame.f_back
    return level


def warn_of_training_mode(model: nn.Module) -> None:
    """Say that maps depend on chance or on the batch where they do."""
    unsteady = {
        type(module).__name__ for module in model.modules() if module.training and isinstance(module, _UNSTEADY)
    }
    if unsteady:
        warnings.warn(
            f"the model is in training mode, where {' and '.join(sorted(unsteady))} make maps depend on chance or "
            "on the rest of the batch: call model.eval() first",
            TrainingModeWarning,
            stacklevel=level_of_caller(),
        )


class _BufferCopies:
    """Stands copies in for buffers that a run may change: in training mode, or of modules that torch doesn't define.

    The buffers themselves are never written to, and graphs that the caller holds on them stay valid. Copies are shared
    by the threads that run a module at the same time: the first in makes them, the last out puts the buffers back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[nn.Module, int] = {}
        self._copied: dict[nn.Module, dict[str, tuple[Tensor, Tensor]]] = {}

    @contextmanager
    def __call__(self, modules: Iterable[nn.Module]) -> Iterator[None]:
        modules = [module for module in modules if module._buffers and _may_change_buffers(module)]
        with self._lock:
            copies: dict[int, Tensor] = {}  # a buffer that two modules share gets one copy
            for module in modules:
                self._enter(module, copies)
        try:
            yield
        finally:
            with self._lock:
                for module in modules:
                    self._leave(module)

    def _enter(self, module: nn.Module, copies: dict[int, Tensor]) -> None:
        self._users[module] = self._users.get(module, 0) + 1
        if self._users[module] > 1:
            return
        copied = self._copied[module] = {}
        for name, buffer in module._buffers.items():
            if buffer is not None:
                stand_in = copies.setdefault(id(buffer), buffer.detach().clone())
                copied[name] = (buffer, stand_in)
        for name, (_, stand_in) in copied.items():
            module._buffers[name] = stand_in

    def _leave(self, module: nn.Module) -> None:
        self._users[module] -= 1
        if self._users[module]:
            return
        del self._users[module]
        for name, (buffer, stand_in) in self._copied.pop(module).items():
            rebuilt = name in module._buffers and module._buffers[name] is not stand_in
            if not (rebuilt and name in module._non_persistent_buffers_set):  # a cache that the module made anew
                module._buffers[name] = buffer


def _may_change_buffers(module: nn.Module) -> bool:
    return module.training or not type(module).__module__.startswith("torch.nn.")


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


_buffers = _BufferCopies()
_eager = _Eager()
