"""The way from torch tensors to `camfast._C`: addresses, sizes and strides as integers, outputs allocated here.

Inputs have passed the checks of their op. Every temporary is bound to a name that lives until the kernel has returned.
"""

import functools
import importlib
import math
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from camfast.ops.forms import FusedCam, Gain, Rectify, RunningMax, map_dtype
from camfast.ops.operands import (
    DTYPE_CODES,
    GAIN_CODES,
    METHOD_CODES,
    RECTIFY_CODES,
    by_position,
    by_sample,
    lead,
    lead_strides,
    pad,
    pair,
)


@functools.cache
def _load() -> ModuleType | str:
    try:
        return importlib.import_module("camfast._C")
    except ImportError as error:
        return f"camfast._C does not load ({error}): build it with 'make build' or 'pip install .'"


def load_failure() -> str | None:
    """Why the native extension can't be used, or None where it can."""
    loaded = _load()
    return loaded if isinstance(loaded, str) else None


def instruction_set() -> str:
    """Name of the instruction set whose kernels were chosen at load."""
    return str(_kernels().isa())


def channel_weights(activations: Tensor, gradients: Tensor, method: str, out: Tensor | None = None) -> Tensor:
    """See `camfast.ops.channel_weights`."""
    A, G = by_position(activations, gradients)
    if out is None:
        out = activations.new_empty((*lead(activations, gradients), A.shape[1]), dtype=map_dtype(A.dtype))
    _kernels().channel_weights(
        METHOD_CODES[method],
        *pair(A, G),
        out.data_ptr(),
        *lead_strides(out, 1),
        0,
        torch.get_num_threads(),
    )
    return out


def weighted_sum(activations: Tensor, weights: Tensor, relu: bool, out: Tensor | None = None) -> Tensor:
    """See `camfast.ops.weighted_sum`."""
    A, w = activations.resolve_neg().flatten(2), weights.resolve_neg().contiguous()
    if out is None:
        out = activations.new_empty((*w.shape[:-1], *activations.shape[2:]), dtype=map_dtype(A.dtype))
    targets = w.shape[1] if w.ndim == 3 else 1
    _kernels().weighted_sum(
        DTYPE_CODES[A.dtype], targets, *A.shape, A.data_ptr(), *A.stride(), w.data_ptr(), relu,
        out.data_ptr(), *lead_strides(out, activations.ndim - 2), torch.get_num_threads(),
    )  # fmt: skip
    return out


def product_sum(
    activations: Tensor, gradients: Tensor, rectify: Rectify, relu: bool, out: Tensor | None = None
) -> Tensor:
    """See `camfast.ops.product_sum`."""
    A, G = by_position(activations, gradients)
    spatial = activations.shape[2:]
    if out is None:
        out = activations.new_empty((*lead(activations, gradients), *spatial), dtype=map_dtype(A.dtype))
    _kernels().product_sum(
        RECTIFY_CODES[rectify], *pair(A, G), relu,
        out.data_ptr(), *lead_strides(out, len(spatial)), torch.get_num_threads(),
    )  # fmt: skip
    return out


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
) -> FusedCam:
    """See `camfast.ops.fused_cam_parts`; ``out`` holds the tensors to write into."""
    A, G = by_position(activations, gradients)
    spatial = activations.shape[2:]
    rank = len(spatial)
    weights = (0, 0, 0) if out.weights is None else (out.weights.data_ptr(), *lead_strides(out.weights, 1))
    flags = (
        out.ill_conditioned
    )  # bool has the bytes of the kernel's uint8; some targets of more want a place of their own
    if flags is not None and not flags.is_contiguous():
        flags = torch.empty_like(flags, memory_format=torch.contiguous_format)
    upsample = 0 if size is None else 1 if sigma is None else 2
    sigma = sigma or (-1.0,) * rank
    _kernels().fused_cam(
        METHOD_CODES[method], relu, *pair(A, G),
        out.grid.data_ptr(), *lead_strides(out.grid, rank), *weights, 0 if flags is None else flags.data_ptr(),
        upsample, *pad(spatial, 1), *pad(size or spatial, 1), *_gaussian(sigma, gain, starts, steps),
        out.maps.data_ptr() if upsample else 0, *lead_strides(out.maps, rank), torch.get_num_threads(),
    )  # fmt: skip
    if out.ill_conditioned is not None and flags is not None and flags is not out.ill_conditioned:
        out.ill_conditioned.copy_(flags)
    return out


def linear_upsample(grid: Tensor, size: Sequence[int], out: Tensor | None = None) -> Tensor:
    """See `camfast.ops.linear_upsample`."""
    cells, out = _upsampling_operands(grid, size, out)
    _kernels().linear_upsample(*_cells(cells, size), *pad(size, 1), out.data_ptr(), torch.get_num_threads())
    return out


def gaussian_upsample(
    grid: Tensor,
    size: Sequence[int],
    sigma: Sequence[float],
    gain: Gain,
    starts: Sequence[float],
    steps: Sequence[float],
    out: Tensor | None = None,
) -> Tensor:
    """See `camfast.ops.gaussian_upsample`."""
    cells, out = _upsampling_operands(grid, size, out)
    _kernels().gaussian_upsample(
        *_cells(cells, size), *pad(size, 1), *_gaussian(sigma, gain, starts, steps),
        out.data_ptr(), torch.get_num_threads(),
    )  # fmt: skip
    return out


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
    out: Tensor | None = None,
) -> Tensor:
    """See `camfast.ops.overlay`."""
    pixels, cells, colors = image.resolve_neg().contiguous(), heat.resolve_neg().contiguous(), table.contiguous()
    size = image.shape[1:3]
    if out is None:
        out = image.new_empty((image.shape[0], *size, 3), dtype=torch.uint8)
    _kernels().overlay(
        DTYPE_CODES[image.dtype], image.shape[0], *size, 3 if image.ndim == 4 else 1, pixels.data_ptr(),
        DTYPE_CODES[heat.dtype], *heat.shape[1:], cells.data_ptr(), colors.data_ptr(), float(low), float(high),
        alpha, *(sigma or (0.0, 0.0)), black, white, out.data_ptr(), out.stride(0), torch.get_num_threads(),
    )  # fmt: skip
    return out


def running_max(
    values: Tensor, index: Tensor, candidate: Tensor, unit: int | Tensor, out: RunningMax | None = None
) -> RunningMax:
    """See `camfast.ops.running_max`."""
    if out is None:
        out = RunningMax(
            values.new_empty(values.shape),
            index.new_empty(index.shape),
        )
    planes = [by_sample(tensor) for tensor in (values, index, candidate)]
    units = unit.to(torch.int32).expand(len(values)).contiguous() if isinstance(unit, Tensor) else None
    operands = (number for plane in planes for number in (plane.data_ptr(), plane.stride(0)))
    _kernels().running_max(
        DTYPE_CODES[candidate.dtype], *planes[0].shape, *operands,
        0 if units is None else units.data_ptr(), 0 if units is not None else unit,
        out.values.data_ptr(), out.values.stride(0), out.index.data_ptr(), out.index.stride(0),
        torch.get_num_threads(),
    )  # fmt: skip
    return out


def _kernels() -> ModuleType:
    loaded = _load()
    assert isinstance(loaded, ModuleType)  # dispatch asks load_failure() first
    return loaded


def _upsampling_operands(grid: Tensor, size: Sequence[int], out: Tensor | None) -> tuple[Tensor, Tensor]:
    cells = grid.resolve_neg().contiguous()
    if out is None:
        lead = grid.shape[: -len(size)]
        out = grid.new_empty((*lead, *size), dtype=map_dtype(grid.dtype))
    return cells, out


def _cells(cells: Tensor, size: Sequence[int]) -> tuple[int, ...]:
    """Dtype, number of maps, the grid's axes and its address."""
    split = cells.ndim - len(size)
    shape = cells.shape
    return (DTYPE_CODES[cells.dtype], math.prod(shape[:split]), *pad(shape[split:], 1), cells.data_ptr())


def _gaussian(sigma: Sequence[float], gain: Gain, starts: Sequence[float], steps: Sequence[float]) -> tuple[float, ...]:
    """Sigma (negative: axis left alone), gain, first centre and step, each padded to three axes."""
    return (*pad(sigma, -1.0), GAIN_CODES[gain], *pad(starts, 0.0), *pad(steps, 1.0))
