"""Whether what a backend gave is what `exact` says, and nothing else was touched."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reliability.kernels.exact import LONG, Arithmetic, Array, Exact

_UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}


def arithmetic(backend: str, dtype: torch.dtype, terms: int) -> Arithmetic:
    """What a backend promises for sums of so many terms in a dtype of maps.

    The kernels for the CPU multiply in the dtype of maps and end sums in float64: 1e-6 of Σ|terms| for float32, as in
    the tests of the ops. All others sum in the dtype of maps, in any order: at most half a last bit for each term.
    """
    info = torch.finfo(dtype)
    unit = (terms + 16) * _UNIT[dtype]
    return Arithmetic(1e-6 if backend == "cpu" and dtype == torch.float32 else unit, info.tiny, info.max)


def values(tensor: Tensor) -> Array:
    """A tensor's values as numpy's, which bfloat16 and negative bits aren't."""
    tensor = tensor.detach().resolve_neg()
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()


def assert_exact(found: Tensor, expected: Exact, spoilt: Array, what: str) -> None:
    """Every element within its bound; not finite where it can't be, and there only where the inputs weren't.

    Parameters
    ----------
    found
        Shape (N, T, ...).
    expected
        The same.
    spoilt
        Whether a sample's inputs hold NaN or infinities, (N, T).
    what
        The output's name.
    """
    got = values(found).astype(LONG)
    assert got.shape == expected.value.shape, f"{what}: shape {got.shape}, expected {expected.value.shape}"
    spoilt = spoilt.reshape(*spoilt.shape, *(1,) * (got.ndim - 2))
    with np.errstate(all="ignore"):
        number = np.isfinite(expected.value)
        promised = number & np.isfinite(expected.bound)
        promised &= np.abs(expected.value) + expected.bound <= torch.finfo(found.dtype).max
        off = promised & ~(np.abs(got - expected.value) <= expected.bound)
        hidden = ~number & spoilt & np.isfinite(got)
    for wrong, why in ((off, "outside of its bound"), (hidden, "hides what is not finite")):
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise AssertionError(
                f"{what}{list(at)} {why}: {got[at]}, expected {expected.value[at]} ± {expected.bound[at]:.3g} "
                f"({int(wrong.sum())} of {wrong.size})"
            )


def assert_same(found: Tensor, expected: Array, what: str) -> None:
    """The same numbers and the same NaN; a NaN's bits are free, as a number's sign is not."""
    got = values(found)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    same = (got == expected) & (np.signbit(got) == np.signbit(expected)) | np.isnan(got) & np.isnan(expected)
    if not same.all():
        at = tuple(int(i) for i in np.argwhere(~same)[0])
        raise AssertionError(f"{what}{list(at)}: {got[at]}, expected {expected[at]}")


def bits(tensors: Sequence[Tensor | None]) -> list[bytes]:
    """The memory of outputs, to compare two calls."""
    flat = [
        torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor).flatten()
        for tensor in tensors
        if tensor is not None
    ]
    return [tensor.view(torch.uint8).numpy().tobytes() for tensor in flat]


class Untouched:
    """Memory of tensors that a call must leave as it is."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._memory = [_memory(tensor) for tensor in tensors]
        self._before = [memory.clone() for memory in self._memory]

    def check(self, what: str) -> None:
        for memory, before in zip(self._memory, self._before, strict=True):
            assert torch.equal(memory, before), f"{what} was changed"


def _memory(tensor: Tensor) -> Tensor:
    """All bytes of a tensor's storage."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
