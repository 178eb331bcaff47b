"""Checks of what metrics and perturbations are given: each error names the argument, and what was expected."""

from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

from torch import Tensor

from camfast.ops.forms import map_dtype


def check_count(name: str, value: Any, least: int = 1) -> int:
    """A whole number, or a ValueError that names the argument."""
    count = _whole(value)
    if count is None or count < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, found {value!r}")
    return count


def check_sizes(name: str, value: Any, axes: int, largest: Sequence[int] | None = None) -> list[int]:
    """A whole number of at least 1 for each axis, from one or several; or a ValueError that names the argument."""
    several = isinstance(value, Iterable) and not isinstance(value, str)
    sizes = [_whole(size) for size in value] if several else [_whole(value)] * axes
    found = [size for size in sizes if size is not None and size >= 1]
    fits = len(found) == len(sizes) == axes
    if not fits or (largest is not None and any(size > most for size, most in zip(found, largest, strict=True))):
        limits = "of at least 1" if largest is None else f"from 1 to {tuple(largest)}"
        raise ValueError(f"{name} must be a whole number {limits}, or {axes}, one a spatial axis; found {value!r}")
    return found


def _whole(value: Any) -> int | None:
    """A number of any integer type as an int; None for anything else."""
    try:
        return None if isinstance(value, bool) else index(value)
    except TypeError:
        return None


def check_inputs(inputs: Any) -> Tensor:
    """The images or volumes that are to be changed.

    Raises
    ------
    TypeError, ValueError
        If they are no real tensor (N, C, *S) with one to three spatial axes.
    """
    if not isinstance(inputs, Tensor):
        raise TypeError(
            f"inputs must be one tensor (N, C, *S), found {type(inputs).__name__}: parts of it are to be replaced"
        )
    if not 3 <= inputs.ndim <= 5 or not inputs.numel():
        raise ValueError(
            f"inputs must be (N, C, *S) with at least one sample and one to three spatial axes, found "
            f"{tuple(inputs.shape)}"
        )
    if not inputs.is_floating_point():
        raise TypeError(f"inputs must hold real numbers, found {inputs.dtype}")
    return inputs.detach()


def check_maps(maps: Any, inputs: Tensor, *, several: bool = False) -> Tensor:
    """One map for each sample, or several where that is allowed, at the size of the inputs, in the dtype of maps.

    Raises
    ------
    TypeError, ValueError
        If they are something else.
    """
    expected = (len(inputs), *inputs.shape[2:])
    if not isinstance(maps, Tensor):
        raise TypeError(f"maps must be a tensor {expected}, found {type(maps).__name__}")
    is_several = several and maps.ndim == inputs.ndim and maps.shape[1] > 0
    if tuple(maps.shape[:1] + maps.shape[2:] if is_several else maps.shape) != expected:
        raise ValueError(
            f"maps must be one map a sample at the size of the inputs, {expected}, found {tuple(maps.shape)}: "
            "explain one target, without size="
        )
    return maps.detach().to(inputs.device, map_dtype(maps.dtype))
