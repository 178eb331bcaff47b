"""What explaining a batch takes: memory and operations, measured on one."""

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(function: Callable[[], Any]) -> int:
    """Most bytes of tensors made within a call that were alive at once; what libraries use inside isn't seen."""
    with _Alive() as alive:
        function()
    most: int = alive.most
    return most


def operations(function: Callable[[], Any]) -> int:
    """Floating-point operations of a call's convolutions and matrix products, a multiply-add counted as two.

    By torch's own formulas, and without its `FlopCounterMode`: that hooks every module of the process meanwhile, and
    gradients in other threads then fail. What torch fuses into an op without a formula, such as a whole layer of a
    transformer, counts as nothing.
    """
    with _Counting() as counting:
        function()
    total: int = counting.total
    return total


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own class hook
    """Adds up the operations of what this thread calls."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        from torch.utils.flop_counter import flop_registry  # loads Triton

        self.total = 0
        self._formulas = flop_registry

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = self._formulas.get(func.overloadpacket)
        if formula is None:
            with self:  # under inference_mode ops come whole that are made of others
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=result)
        return result


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own class hook
    """Counts the storages that this thread makes, until they are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in given:
                self._add(leaf)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata in self._known:
            return
        size = storage.nbytes()
        self._known.add(storage._cdata)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._drop, storage._cdata, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
