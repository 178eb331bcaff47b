"""Tensors that a kernel may trip over: sizes, layouts in memory, magnitudes, and numbers that are none."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from hypothesis import strategies as st
from torch import Tensor

from tests.ops import cases

T = TypeVar("T")

# 63 and 257 are one less and one more than what vectors and tiles are made of
SIZES = (1, 2, 3, 7, 8, 16, 31, 63, 64, 257)
LAYOUTS = ("contiguous", "channels_last", "sliced", "transposed", "expanded", "negative", "conjugate", "offset",
           "permuted", "one_repeated", "one_column")  # fmt: skip
_SCALES = {
    torch.float64: (1.0, 1e-3, 1e150, 1e-150, 1e300, 1e-300, 1e-310),
    torch.float32: (1.0, 1e-3, 1e15, 1e-15, 1e35, 1e-36, 1e-41),
    torch.bfloat16: (1.0, 1e-3, 1e15, 1e-15, 1e35, 1e-36, 1e-39),
    torch.float16: (1.0, 1e-3, 1e4, 1e-4, 1e-6),
}
_SPECIALS = (math.nan, math.inf, -math.inf, -0.0, 0.0)


class Draw:
    """What hypothesis chooses, kept by name so that a failure can say it.

    Parameters
    ----------
    draw
        What chooses.
    teams
        Where calls aren't compared with the formula but with themselves by so many threads: how many.
    tiny_bfloat16
        Whether bfloat16 numbers may be subnormal.
    """

    def __init__(self, draw: Callable[..., Any], teams: Sequence[int] = (), *, tiny_bfloat16: bool = True) -> None:
        self._draw = draw
        self._tiny_bfloat16 = tiny_bfloat16
        self.teams = tuple(teams)
        self.said: dict[str, Any] = {}

    def __call__(self, name: str, strategy: st.SearchStrategy[T]) -> T:
        value: T = self._draw(strategy)
        self.said[name] = value
        return value

    def one_of(self, name: str, values: Sequence[T]) -> T:
        return self(name, st.sampled_from(values))

    def flag(self, name: str) -> bool:
        return self(name, st.booleans())

    def size(self, name: str, room: int, *, least: int = 1) -> int:
        """A hostile size, or any small one, that fits."""
        named = [size for size in SIZES if least <= size <= room] or [least]
        any_small = st.integers(least, max(least, min(room, 20)))
        if self.teams:  # what is small is left to one thread
            any_small = st.sampled_from([size for size in named if size >= 16] or named[-1:])
        return self(name, st.one_of(st.sampled_from(named), any_small))

    def sizes(self, name: str, count: int, room: int, *, empty: bool = True) -> tuple[int, ...]:
        """So many sizes with at most `room` elements together; now and then one is 0."""
        found = []
        for axis in range(count):
            found.append(self.size(f"{name}[{axis}]", max(room, 1)))
            room //= found[-1]
        if empty and self(f"{name} empty", st.integers(0, 15)) == 15:
            found[self(f"{name} empty axis", st.integers(0, count - 1))] = 0
        return tuple(found)

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: torch.dtype,
        *,
        scale: float | None = None,
        layouts: Sequence[str] = LAYOUTS,
        specials: bool = True,
    ) -> Tensor:
        """Numbers of a drawn seed and magnitude, some of them special, in a drawn layout."""
        scale = self.one_of(f"{name} scale", _SCALES[dtype]) if scale is None else scale
        kind = self.one_of(f"{name} values", ("signed", "rectified", "equal"))
        planted = self(f"{name} specials", st.one_of(st.just(0), st.integers(0, 3))) if specials else 0
        generator = torch.Generator().manual_seed(self(f"{name} seed", st.integers(0, 2**16)))
        flat = torch.randn(math.prod(shape), generator=generator, dtype=torch.float64)
        if kind == "rectified":
            flat = flat.relu_()
        if kind == "equal":
            flat = flat.sign_()
        flat = (flat * scale).to(dtype)
        for _ in range(planted if flat.numel() else 0):
            number = self.one_of(f"{name} special", (*_SPECIALS, torch.finfo(dtype).max, torch.finfo(dtype).tiny / 4))
            flat[int(torch.randint(flat.numel(), (), generator=generator))] = number
        if dtype == torch.bfloat16 and not self._tiny_bfloat16:
            flat[flat.abs() < torch.finfo(dtype).tiny] = 0
        tensor = laid_out(flat.view(tuple(shape)), self.one_of(f"{name} layout", layouts), generator)
        self.said[f"{name} shape"] = tuple(shape)
        return tensor


def laid_out(values: Tensor, layout: str, generator: torch.Generator) -> Tensor:
    """The values in another layout; some layouts repeat values."""
    rank = values.ndim
    if layout in ("contiguous", "transposed") or (layout in ("sliced", "expanded") and rank):
        return cases.laid_out(values, layout)
    if layout == "channels_last" and rank > 1:
        return cases.laid_out(values, layout)
    if layout == "negative":
        return torch._neg_view(-values)
    if layout == "conjugate" and values.dtype in (torch.float32, torch.float64):
        return torch.complex(torch.zeros_like(values), -values).conj().imag
    if layout == "offset":
        room = values.new_full((values.numel() + 8,), math.nan if values.is_floating_point() else 99)
        first = int(torch.randint(8, (), generator=generator))
        return room[first : first + values.numel()].view(values.shape).copy_(values)
    if layout == "permuted" and rank:
        order = torch.randperm(rank, generator=generator).tolist()
        return values.permute(order).contiguous().permute([order.index(axis) for axis in range(rank)])
    if layout == "one_repeated" and values.numel():  # one axis of stride 0
        axis = int(torch.randint(rank, (), generator=generator))
        return values.narrow(axis, 0, 1).expand(values.shape)
    if layout == "one_column" and values.numel():  # a last axis of stride 3
        room = values.new_zeros((*values.shape, 3))
        return room[..., 1].copy_(values)
    return values


def spoilt(A: Tensor, *others: Tensor) -> Tensor:
    """Which samples of (N, ...), or samples and targets of others (T, N, ...), hold NaN or infinities; (N, T)."""
    found = _spoilt(A, 1)[:, None]
    for other in others:
        found = found | _spoilt(other, 2).T
    return found


def _spoilt(tensor: Tensor, lead: int) -> Tensor:
    bad = ~tensor.resolve_neg().double().isfinite()
    return bad.reshape(*tensor.shape[:lead], -1).any(-1) if tensor.numel() else bad.new_zeros(tensor.shape[:lead])
