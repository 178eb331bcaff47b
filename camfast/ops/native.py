"""The way from torch tensors to `camfast._C`: addresses, sizes and strides as integers.

What a kernel reads and writes has passed the checks of its op.
"""

import functools
import importlib
import math
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from camfast.ops import threads
from camfast.ops.forms import Blend, FusedCam, Gain, Rectify, RunningMax, tensors_of
from camfast.ops.operands import (
    BLEND_CODES,
    DTYPE_CODES,
    GAIN_CODES,
    METHOD_CODES,
    RECTIFY_CODES,
    by_position,
    by_sample,
    lead_strides,
    pad,
)

# see `camfast._C.signature`
Signature = Callable[
    [tuple[Any, ...], Any, str | None], tuple[tuple[bytes, tuple[Any, ...], str | None], tuple[int, ...]] | None
]


@functools.cache
def _load() -> ModuleType | str:
    try:
        kernels = importlib.import_module("camfast._C")
        threads.share(kernels)
        return kernels
    except ImportError as error:
        return f"camfast._C does not load ({error}): build it with 'make build' or 'pip install .'"


def load_failure() -> str | None:
    """Why the native extension can't be used, or None where it can."""
    loaded = _load()
    return loaded if isinstance(loaded, str) else None


def instruction_set() -> str:
    """Name of the instruction set whose kernels were chosen at load."""
    return str(_kernels().isa())


def signature() -> Signature:
    """The function that reads what the checks of a call depend on, or one that reads nothing without the extension."""
    loaded = _load()
    return no_signature if isinstance(loaded, str) else loaded.signature


def no_signature(arguments: tuple[Any, ...], out: Any, backend: str | None) -> None:
    """Say of every call that it has to be checked."""


class Kernel:
    """An op of `camfast._C`: called with tensors, or bound to the layout of some.

    Parameters
    ----------
    listing
        Takes the op's arguments and its output, which have passed the checks, and lists the arguments of the function
        of its name in `camfast._C` but for the number of threads: with tensors in the place of their addresses, first
        those that are read, then those that are written, in the op's own order; None for a null address.
    """

    def __init__(self, listing: Callable[..., Iterable[Any]]) -> None:
        functools.update_wrapper(self, listing)
        self._name = listing.__name__
        self._listing = listing

    def __call__(self, *arguments: Any) -> Any:
        """Run, and return the output, which is the last argument."""
        listed = list(self._listing(*arguments))  # keeps copies until the kernel has returned
        getattr(_kernels(), self._name)(*map(_address, listed), torch.get_num_threads())
        return arguments[-1]

    def bind(self, *arguments: Any) -> Callable[[tuple[int, ...], int], None] | None:
        """Return what runs on tensors laid out like these, given their addresses and the number of threads.

        None where the kernel works on copies.
        """
        listed = list(self._listing(*arguments))
        used = [value.data_ptr() for value in listed if isinstance(value, Tensor)]
        if used != [value.data_ptr() for value in tensors_of(arguments)]:
            return None
        bound: Callable[[tuple[int, ...], int], None]
        bound = getattr(_kernels(), f"bind_{self._name}")(*map(_address, listed), 1)
        return bound


def _address(value: Any) -> Any:
    return value.data_ptr() if isinstance(value, Tensor) else 0 if value is None else value


@Kernel
def channel_weights(activations: Tensor, gradients: Tensor, method: str, out: Tensor) -> Iterable[Any]:
    """See `camfast.ops.channel_weights`."""
    return METHOD_CODES[method], *_pair(activations, gradients), out, *lead_strides(out, 1), None


@Kernel
def weighted_sum(activations: Tensor, weights: Tensor, relu: bool, out: Tensor) -> Iterable[Any]:
    """See `camfast.ops.weighted_sum`."""
    A, w = activations.resolve_neg().flatten(2), weights.resolve_neg().contiguous()
    targets = w.shape[1] if w.ndim == 3 else 1
    return (
        DTYPE_CODES[A.dtype], targets, *A.shape, A, *A.stride(), w, relu,
        out, *lead_strides(out, activations.ndim - 2),
    )  # fmt: skip


@Kernel
def product_sum(activations: Tensor, gradients: Tensor, rectify: Rectify, relu: bool, out: Tensor) -> Iterable[Any]:
    """See `camfast.ops.product_sum`."""
    strides = lead_strides(out, activations.ndim - 2)
    return RECTIFY_CODES[rectify], *_pair(activations, gradients), relu, out, *strides


@Kernel
def fused_cam(
    activations: Tensor,
    gradients: Tensor,
    method: str,
    relu: bool,
    size: Sequence[int] | None,
    sigma: Sequence[float] | None,
    gain: Gain,
    starts: Sequence[float],
    steps: Sequence[float],
    out: FusedCam,
) -> Iterable[Any]:
    """See `camfast.ops.fused_cam_parts`; ``out`` holds the tensors to write into."""
    spatial = activations.shape[2:]
    rank = len(spatial)
    return (
        METHOD_CODES[method], relu, *_pair(activations, gradients),
        out.grid, *lead_strides(out.grid, rank), out.maps, *lead_strides(out.maps, rank),
        out.weights, *lead_strides(out.weights, 1), out.ill_conditioned, *lead_strides(out.ill_conditioned, 0),
        0 if size is None else 1 if sigma is None else 2, *pad(spatial, 1), *pad(size or spatial, 1),
        *_gaussian(sigma or (-1.0,) * rank, gain, starts, steps),
    )  # fmt: skip


@Kernel
def linear_upsample(grid: Tensor, size: Sequence[int], out: Tensor) -> Iterable[Any]:
    """See `camfast.ops.linear_upsample`."""
    return *_cells(grid, size), *pad(size, 1), out


@Kernel
def gaussian_upsample(
    grid: Tensor,
    size: Sequence[int],
    sigma: Sequence[float],
    gain: Gain,
    starts: Sequence[float],
    steps: Sequence[float],
    out: Tensor,
) -> Iterable[Any]:
    """See `camfast.ops.gaussian_upsample`."""
    return *_cells(grid, size), *pad(size, 1), *_gaussian(sigma, gain, starts, steps), out


@Kernel
def overlay(
    image: Tensor,
    heat: Tensor,
    table: Tensor,
    low: float | Tensor,
    high: float | Tensor,
    alpha: float,
    sigma: Sequence[float] | None,
    black: float,
    white: float,
    threshold: float,
    out: Tensor,
) -> Iterable[Any]:
    """See `camfast.ops.overlay`."""
    pixels, cells, colors = image.resolve_neg().contiguous(), heat.resolve_neg().contiguous(), table.contiguous()
    return (
        DTYPE_CODES[image.dtype], image.shape[0], *image.shape[1:3], 3 if image.ndim == 4 else 1, pixels,
        DTYPE_CODES[heat.dtype], *heat.shape[1:], cells, colors, float(low), float(high),
        alpha, *(sigma or (0.0, 0.0)), black, white, threshold, out, out.stride(0),
    )  # fmt: skip


@Kernel
def running_max(values: Tensor, index: Tensor, candidate: Tensor, unit: int | Tensor, out: RunningMax) -> Iterable[Any]:
    """See `camfast.ops.running_max`."""
    planes = [by_sample(tensor) for tensor in (values, index, candidate)]
    units = unit.to(torch.int32).expand(len(values)).contiguous() if isinstance(unit, Tensor) else None
    return (
        DTYPE_CODES[candidate.dtype], *planes[0].shape, *(x for plane in planes for x in (plane, plane.stride(0))),
        units, unit if units is None else 0,
        out.values, out.values.stride(0), out.index, out.index.stride(0),
    )  # fmt: skip


@Kernel
def window_sum(total: Tensor, maps: Tensor, origins: Tensor, taper: Tensor, blend: Blend, out: Tensor) -> Iterable[Any]:
    """See `camfast.ops.window_sum`."""
    before, windows, weights = _rows(total, 1), _rows(maps, 2), taper.resolve_neg().contiguous()
    return (
        DTYPE_CODES[maps.dtype], BLEND_CODES[blend], *maps.shape[:2], origins.shape[1],
        *pad(total.shape[1:], 1), *pad(taper.shape, 1), before, before.stride(0), windows, *windows.stride()[:2],
        origins, DTYPE_CODES[origins.dtype], *origins.stride(), weights, out, out.stride(0),
    )  # fmt: skip


@Kernel
def resample(
    image: Tensor, y_first: Tensor, y_weights: Tensor, x_first: Tensor, x_weights: Tensor, out: Tensor
) -> Iterable[Any]:
    """Σ_k Σ_l y_weights[i, k] · x_weights[j, l] · image[y_first[i] + k, x_first[j] + l, c]; no op, for `camfast.live`.

    ``image`` (H, W) or (H, W, C), uint8, uint16 or a float; ``*_first`` (h,), (w,) int32; ``*_weights`` (h, taps) and
    (w, taps) and ``out`` (C, h, w) float32; contiguous all.
    """
    channels = image.shape[2] if image.ndim == 3 else 1
    return (
        DTYPE_CODES[image.dtype], *image.shape[:2], channels, image,
        *y_weights.shape, y_first, y_weights, *x_weights.shape, x_first, x_weights, out,
    )  # fmt: skip


@Kernel
def row_sum(matrix: Tensor, factors: Tensor, out: Tensor) -> Iterable[Any]:
    """Σ_j factors[j] · matrix[j, i] over the j whose factor isn't 0; no op of `camfast.ops`, for `camfast.head_chain`.

    ``matrix`` (J, I) with adjacent columns, ``factors`` (J,) and ``out`` (I,) contiguous, float32 or float64 all.
    """
    return DTYPE_CODES[matrix.dtype], *matrix.shape, matrix, matrix.stride(0), factors, out


def _kernels() -> ModuleType:
    loaded = _load()
    assert isinstance(loaded, ModuleType)  # dispatch asks load_failure() first
    return loaded


def _pair(activations: Tensor, gradients: Tensor) -> tuple[Any, ...]:
    """Dtype, sizes, and both by position with their strides."""
    A, G = by_position(activations, gradients)
    return DTYPE_CODES[A.dtype], *G.shape, A, *A.stride(), G, *G.stride()


def _rows(tensor: Tensor, lead: int) -> Tensor:
    """The tensor with its axes behind the leading ones as one of adjacent elements, copied where they aren't that."""
    rows = tensor.resolve_neg().flatten(lead)
    return rows if rows.stride(-1) == 1 or rows.shape[-1] == 1 else rows.contiguous()


def _cells(grid: Tensor, size: Sequence[int]) -> tuple[Any, ...]:
    """Dtype, number of maps, the grid's axes, and the grid itself."""
    cells = grid.resolve_neg().contiguous()
    split = cells.ndim - len(size)
    return DTYPE_CODES[cells.dtype], math.prod(cells.shape[:split]), *pad(cells.shape[split:], 1), cells


def _gaussian(sigma: Sequence[float], gain: Gain, starts: Sequence[float], steps: Sequence[float]) -> tuple[float, ...]:
    """Sigma (negative: axis left alone), gain, first centre and step, each padded to three axes."""
    return (*pad(sigma, -1.0), GAIN_CODES[gain], *pad(starts, 0.0), *pad(steps, 1.0))
