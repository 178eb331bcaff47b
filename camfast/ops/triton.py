"""The way from torch tensors to `camfast.kernels`: views (N, C, P), bands and outputs, made here.

Inputs have passed the checks of their op. Nothing waits for the device. Where the kernels are interpreted
(``TRITON_INTERPRET=1``, which Triton reads when they are first imported) they run on CPU tensors; the tests do that.
"""

import contextlib
import functools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from camfast.ops.bands import Band, gaussian_band, linear_band
from camfast.ops.forms import FORMS, Blend, FusedCam, Gain, Rectify, RunningMax, map_dtype, split_centres
from camfast.ops.operands import by_position, lead, pad

if TYPE_CHECKING:
    from camfast.kernels._axis import Axis


@functools.cache
def load_failure() -> str | None:
    """Why the Triton kernels can't be used, or None where they can."""
    try:
        import triton
    except ImportError as error:
        return f"Triton does not load ({error}): pip install 'triton>=3.6' (Linux only)"
    if triton.knobs.runtime.interpret or torch.cuda.is_available():
        return None
    return "Triton compiles for a GPU, and torch finds none: install a CUDA build of torch and NVIDIA's driver"


def channel_weights(activations: Tensor, gradients: Tensor, method: str, out: Tensor | None = None) -> Tensor:
    """See `camfast.ops.channel_weights`."""
    from camfast.kernels.channel_weights import channel_weights as kernel

    A, G = by_position(activations, gradients)
    if out is None:
        out = activations.new_empty((*lead(activations, gradients), A.shape[1]), dtype=map_dtype(A.dtype))
    if A.numel() == 0 or out.numel() == 0:
        return out.zero_()
    with _device(A):
        kernel(A, G, method, _by_target(out, 1))
    return out


def weighted_sum(activations: Tensor, weights: Tensor, relu: bool, out: Tensor | None = None) -> Tensor:
    """See `camfast.ops.weighted_sum`."""
    from camfast.kernels.weighted_sum import weighted_sum as kernel

    A, w = activations.resolve_neg().flatten(2), weights.resolve_neg().contiguous()
    spatial = activations.shape[2:]
    if out is None:
        out = activations.new_empty((*w.shape[:-1], *spatial), dtype=map_dtype(A.dtype))
    if A.numel() == 0 or out.numel() == 0:
        return out.zero_()
    with _device(A):
        kernel(A, _by_target(w, 1), relu, _by_target(out, len(spatial)))
    return out


def product_sum(
    activations: Tensor, gradients: Tensor, rectify: Rectify, relu: bool, out: Tensor | None = None
) -> Tensor:
    """See `camfast.ops.product_sum`."""
    from camfast.kernels.product_sum import product_sum as kernel

    A, G = by_position(activations, gradients)
    spatial = activations.shape[2:]
    if out is None:
        out = activations.new_empty((*lead(activations, gradients), *spatial), dtype=map_dtype(A.dtype))
    if A.numel() == 0 or out.numel() == 0:
        return out.zero_()
    with _device(A):
        kernel(A, G, rectify, relu, _by_target(out, len(spatial)))
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
    from camfast.kernels import fused_cam as kernels

    A, G = by_position(activations, gradients)
    spatial = activations.shape[2:]
    if A.numel() == 0 or out.maps.numel() == 0:
        for part in out:
            if part is not None:
                part.zero_()
        return out
    upsampling = None
    if size is not None:
        axes = (
            _linear_axes(spatial, size, out.maps)
            if sigma is None
            else _gaussian_axes(spatial, size, sigma, gain, starts, steps, out.maps)
        )
        maps = out.maps if gradients.ndim > activations.ndim else out.maps.unsqueeze(1)
        upsampling = kernels.Upsampling(axes, sigma is not None, maps)
    weights, flags = out.weights, out.ill_conditioned
    with _device(A):
        kernels.fused_cam(
            A, G, method, FORMS[method].rectify, relu, _by_target(out.grid, len(spatial)),
            None if weights is None else _by_target(weights, 1),
            None if flags is None else _by_target(flags.view(torch.int8), 0),
            upsampling,
        )  # fmt: skip
    return out


def linear_upsample(grid: Tensor, size: Sequence[int], out: Tensor | None = None) -> Tensor:
    """See `camfast.ops.linear_upsample`."""
    from camfast.kernels.linear_upsample import linear_upsample as kernel

    cells, out = _upsampling_operands(grid, size, out)
    if out.numel():
        with _device(cells):
            kernel(_maps(cells, size), _linear_axes(grid.shape[-len(size) :], size, out), _maps(out, size))
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
    from camfast.kernels.gaussian_upsample import gaussian_upsample as kernel

    cells, out = _upsampling_operands(grid, size, out)
    if out.numel():
        axes = _gaussian_axes(grid.shape[-len(size) :], size, sigma, gain, starts, steps, out)
        with _device(cells):
            kernel(_maps(cells, size), axes, _maps(out, size))
    return out


def running_max(
    values: Tensor, index: Tensor, candidate: Tensor, unit: int | Tensor, out: RunningMax | None = None
) -> RunningMax:
    """See `camfast.ops.running_max`; ``out`` may be the inputs themselves."""
    from camfast.kernels.running_max import running_max as kernel

    if out is None:
        out = RunningMax(
            torch.empty_like(values, memory_format=torch.contiguous_format),
            torch.empty_like(index, memory_format=torch.contiguous_format),
        )
    if values.numel() == 0:
        return out
    samples = values.shape[0]
    shape = (samples, values.numel() // samples)
    old, kept, new = (tensor.resolve_neg().reshape(shape) for tensor in (values, index, candidate))
    if isinstance(unit, Tensor):
        unit = unit.resolve_neg().expand(samples).contiguous()
    with _device(values):
        kernel(old, kept, new, unit, (out.values.view(shape), out.index.view(shape)))
    return out


def window_sum(
    total: Tensor, maps: Tensor, origins: Tensor, taper: Tensor, blend: Blend, out: Tensor | None = None
) -> Tensor:
    """See `camfast.ops.window_sum`; ``out`` may be the total itself."""
    from camfast.kernels.window_sum import window_sum as kernel

    if out is None:
        out = torch.empty_like(total, memory_format=torch.contiguous_format)
    if total.numel() == 0:
        return out
    # the kernel knows three axes: missing ones lead, and every window begins at their 0
    places = torch.nn.functional.pad(origins.resolve_neg(), (3 - origins.shape[1], 0)).contiguous()
    flat, windows = total.resolve_neg().flatten(1), maps.resolve_neg().flatten(2).contiguous()
    flat = flat if flat.stride(1) == 1 else flat.contiguous()
    with _device(total):
        kernel(
            flat, windows, places, taper.resolve_neg().contiguous(), pad(total.shape[1:], 1), pad(taper.shape, 1),
            blend == "max", out.flatten(1),
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
    threshold: float,
    out: Tensor | None = None,
) -> Tensor:
    """See `camfast.ops.overlay`; levels on the device are read there."""
    from camfast.kernels.overlay import overlay as kernel

    size = image.shape[1:3]
    if out is None:
        out = torch.empty((*image.shape[:3], 3), dtype=torch.uint8, device=image.device)
    if out.numel() == 0:
        return out
    if sigma is not None:
        heat = gaussian_upsample(heat, size, sigma, "average", *split_centres(None, heat.shape[1:], size))
    cells = heat.resolve_neg().contiguous()
    y, x = _linear_axes(cells.shape[1:], size, cells.new_empty(0, dtype=torch.float32))
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        low, high = (
            level if isinstance(level, Tensor) else torch.full((), level, device=image.device) for level in (low, high)
        )
    with _device(image):
        kernel(image.resolve_neg(), cells, (y, x), table.contiguous(), low, high, alpha, black, white, threshold, out)
    return out


def _device(tensor: Tensor) -> AbstractContextManager[object]:
    """The tensor's device as the current one, where kernels are launched on its current stream."""
    if not tensor.is_cuda or tensor.get_device() == torch.cuda.current_device():
        return contextlib.nullcontext()
    return cast("AbstractContextManager[object]", torch.cuda.device(tensor.device))


def _by_target(out: Tensor, rank: int) -> Tensor:
    """(N, *rank axes) or (N, T, *rank axes) as (N, T, P), the last axis there only if there are any."""
    with_targets = out if out.ndim == rank + 2 else out.unsqueeze(1)
    return with_targets if rank == 0 else with_targets.flatten(2)


def _upsampling_operands(grid: Tensor, size: Sequence[int], out: Tensor | None) -> tuple[Tensor, Tensor]:
    cells = grid.resolve_neg().contiguous()
    if out is None:
        out = grid.new_empty((*grid.shape[: -len(size)], *size), dtype=map_dtype(grid.dtype))
    return cells, out


def _maps(tensor: Tensor, size: Sequence[int]) -> Tensor:
    """(N, *S) or (N, T, *S) as (M, *S)."""
    spatial = tensor.shape[tensor.ndim - len(size) :]
    return tensor.view(math.prod(tensor.shape[: tensor.ndim - len(size)]), *spatial)


def _linear_axes(cells: Sequence[int], size: Sequence[int], out: Tensor) -> list["Axis"]:
    bands = [linear_band(*counts, out.dtype, out.device) for counts in zip(cells, size, strict=True)]
    return _axes(cells, size, bands)


def _gaussian_axes(
    cells: Sequence[int],
    size: Sequence[int],
    sigma: Sequence[float],
    gain: Gain,
    starts: Sequence[float],
    steps: Sequence[float],
    out: Tensor,
) -> list["Axis"]:
    bands = [
        gaussian_band(*axis, gain, out.dtype, out.device)
        for axis in zip(cells, size, sigma, starts, steps, strict=True)
    ]
    return _axes(cells, size, bands)


def _axes(cells: Sequence[int], size: Sequence[int], bands: Sequence[Band | None]) -> list["Axis"]:
    from camfast.kernels._axis import Axis

    return [
        Axis(count, pixels, *((None, None) if band is None else band))
        for count, pixels, band in zip(cells, size, bands, strict=True)
    ]
