"""The way from CUDA tensors to `camfast._C_cuda`: addresses, sizes, strides and the stream as integers.

Inputs have passed the checks of their op. Kernels are queued on the current stream of the tensors' device; nothing is
waited for, so all of this may be captured in a CUDA graph.
"""

import functools
import importlib
import math
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from camfast.ops.bands import Band, gaussian_band, linear_band
from camfast.ops.counters import Counters
from camfast.ops.forms import FusedCam, Gain, Rectify, RunningMax, map_dtype, split_centres
from camfast.ops.operands import (
    DTYPE_CODES,
    METHOD_CODES,
    RECTIFY_CODES,
    by_position,
    by_sample,
    lead,
    lead_strides,
    pair,
)

# (scratch, its bytes, counters, their number), as the kernels take them
_Workspace = tuple[int, int, int, int]
# an axis of one cell and one pixel, in the place of axes that aren't there
_NO_AXIS = (0, 0, 1, 1, 0)


@functools.cache
def _load() -> ModuleType | str:
    try:
        return importlib.import_module("camfast._C_cuda")
    except ImportError as error:
        return (
            f"camfast._C_cuda does not load ({error}): build it where nvcc is, with 'make build' or 'pip install .', "
            "and without CAMFAST_CUDA=0"
        )


def load_failure() -> str | None:
    """Why the CUDA extension can't be used, or None where it can."""
    loaded = _load()
    if isinstance(loaded, str):
        return loaded
    if not torch.cuda.is_available():
        return "torch sees no CUDA device: see what nvidia-smi says, and whether torch was built with CUDA"
    return None


def channel_weights(activations: Tensor, gradients: Tensor, method: str, out: Tensor | None = None) -> Tensor:
    """See `camfast.ops.channel_weights`."""
    A, G = by_position(activations, gradients)
    if out is None:
        out = activations.new_empty((*lead(activations, gradients), A.shape[1]), dtype=map_dtype(A.dtype))
    queue = _queue(A)
    code = METHOD_CODES[method]
    scratch, workspace = _workspace(A, queue, "channel_weights", code, *_layout(A, G))
    _kernels().channel_weights(code, *pair(A, G), out.data_ptr(), *lead_strides(out, 1), 0, *workspace, *queue)
    del scratch  # what the stream does next may have it
    return out


def weighted_sum(activations: Tensor, weights: Tensor, relu: bool, out: Tensor | None = None) -> Tensor:
    """See `camfast.ops.weighted_sum`."""
    A, w = activations.resolve_neg().flatten(2), weights.resolve_neg().contiguous()
    if out is None:
        out = activations.new_empty((*w.shape[:-1], *activations.shape[2:]), dtype=map_dtype(A.dtype))
    queue = _queue(A)
    sizes = (DTYPE_CODES[A.dtype], w.shape[1] if w.ndim == 3 else 1, *A.shape)
    scratch, workspace = _workspace(A, queue, "weighted_sum", *sizes, *A.stride())
    _kernels().weighted_sum(
        *sizes, A.data_ptr(), *A.stride(), w.data_ptr(), relu,
        out.data_ptr(), *lead_strides(out, activations.ndim - 2), *workspace, *queue,
    )  # fmt: skip
    del scratch
    return out


def product_sum(
    activations: Tensor, gradients: Tensor, rectify: Rectify, relu: bool, out: Tensor | None = None
) -> Tensor:
    """See `camfast.ops.product_sum`."""
    A, G = by_position(activations, gradients)
    spatial = activations.shape[2:]
    if out is None:
        out = activations.new_empty((*lead(activations, gradients), *spatial), dtype=map_dtype(A.dtype))
    queue = _queue(A)
    scratch, workspace = _workspace(A, queue, "product_sum", *_layout(A, G))
    _kernels().product_sum(
        RECTIFY_CODES[rectify], *pair(A, G), relu, out.data_ptr(), *lead_strides(out, len(spatial)), *workspace, *queue
    )
    del scratch  # what the stream does next may have it
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
    weights = (0, 0, 0) if out.weights is None else (out.weights.data_ptr(), *lead_strides(out.weights, 1))
    flags = out.ill_conditioned  # bool has the bytes of the kernel's uint8
    if flags is not None and not flags.is_contiguous():
        flags = torch.empty_like(flags, memory_format=torch.contiguous_format)
    spatial = activations.shape[2:]
    cells = () if size is None else spatial
    bands = _bands(A, cells, size or (), sigma if size else None, gain, starts, steps)
    queue = _queue(A)
    code = METHOD_CODES[method]
    scratch, workspace = _workspace(A, queue, "fused_cam", code, *_layout(A, G), queue[0])
    _kernels().fused_cam(
        code, relu, *pair(A, G), out.grid.data_ptr(), *lead_strides(out.grid, len(spatial)), *weights,
        0 if flags is None else flags.data_ptr(), *_NO_AXIS * (3 - len(bands)), *_axes(bands, cells, size or ()),
        0 if size is None else out.maps.data_ptr(), *lead_strides(out.maps, len(spatial)), *workspace, *queue,
    )  # fmt: skip
    del scratch
    if out.ill_conditioned is not None and flags is not None and flags is not out.ill_conditioned:
        out.ill_conditioned.copy_(flags)
    return out


def linear_upsample(grid: Tensor, size: Sequence[int], out: Tensor | None = None) -> Tensor:
    """See `camfast.ops.linear_upsample`."""
    bands = _bands(grid, grid.shape[-len(size) :], size, None)
    return _upsample("linear_upsample", grid, bands, size, out)


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
    bands = _bands(grid, grid.shape[-len(size) :], size, sigma, gain, starts, steps)
    return _upsample("gaussian_upsample", grid, bands, size, out)


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
    """See `camfast.ops.overlay`."""
    pixels, cells, colors = image.resolve_neg().contiguous(), heat.resolve_neg().contiguous(), table.contiguous()
    spatial, size = heat.shape[1:], image.shape[1:3]
    if out is None:
        out = image.new_empty((image.shape[0], *size, 3), dtype=torch.uint8)
    bands = _bands(image, spatial, size, sigma, "average", *split_centres(None, spatial, size), dtype=torch.float32)
    _kernels().overlay(
        DTYPE_CODES[image.dtype], image.shape[0], *size, 3 if image.ndim == 4 else 1, pixels.data_ptr(),
        DTYPE_CODES[heat.dtype], cells.data_ptr(), *_axes(bands, spatial, size), colors.data_ptr(),
        *_level(low), *_level(high), alpha, black, white, threshold, out.data_ptr(), out.stride(0), *_queue(image),
    )  # fmt: skip
    return out


def running_max(
    values: Tensor, index: Tensor, candidate: Tensor, unit: int | Tensor, out: RunningMax | None = None
) -> RunningMax:
    """See `camfast.ops.running_max`."""
    if out is None:
        out = RunningMax(values.new_empty(values.shape), index.new_empty(index.shape))
    planes = [by_sample(tensor) for tensor in (values, index, candidate)]
    units = unit.to(torch.int32).expand(len(values)).contiguous() if isinstance(unit, Tensor) else None
    operands = (number for plane in planes for number in (plane.data_ptr(), plane.stride(0)))
    _kernels().running_max(
        DTYPE_CODES[candidate.dtype], *planes[0].shape, *operands,
        0 if units is None else units.data_ptr(), 0 if isinstance(unit, Tensor) else unit,
        out.values.data_ptr(), out.values.stride(0), out.index.data_ptr(), out.index.stride(0), *_queue(values),
    )  # fmt: skip
    return out


def _upsample(op: str, grid: Tensor, bands: Sequence[Band | None], size: Sequence[int], out: Tensor | None) -> Tensor:
    cells = grid.resolve_neg().contiguous()
    lead, spatial = grid.shape[: -len(size)], grid.shape[-len(size) :]
    if out is None:
        out = grid.new_empty((*lead, *size), dtype=map_dtype(grid.dtype))
    getattr(_kernels(), op)(
        DTYPE_CODES[grid.dtype], math.prod(lead), cells.data_ptr(),
        *_NO_AXIS * (3 - len(size)), *_axes(bands, spatial, size), out.data_ptr(), *_queue(grid),
    )  # fmt: skip
    return out


def _bands(
    like: Tensor,
    spatial: Sequence[int],
    size: Sequence[int],
    sigma: Sequence[float] | None,
    gain: Gain = "spray",
    starts: Sequence[float] = (),
    steps: Sequence[float] = (),
    dtype: torch.dtype | None = None,
) -> list[Band | None]:
    """Bands of each axis on a tensor's device: Gaussian where there is a sigma, else linear."""
    dtype = dtype or map_dtype(like.dtype)
    if sigma is None:
        return [linear_band(*axis, dtype, like.device) for axis in zip(spatial, size, strict=True)]
    axes = zip(spatial, size, sigma, starts, steps, strict=True)
    return [gaussian_band(*axis, gain, dtype, like.device) for axis in axes]


def _axes(bands: Sequence[Band | None], spatial: Sequence[int], size: Sequence[int]) -> list[int]:
    """First cells, weights, cells, pixels and taps of each axis."""
    numbers = []
    for band, cells, pixels in zip(bands, spatial, size, strict=True):
        if band is None:
            numbers += [0, 0, cells, pixels, 0]
        else:
            numbers += [band.first.data_ptr(), band.weights.data_ptr(), cells, pixels, band.taps]
    return numbers


def _level(value: float | Tensor) -> tuple[float, int]:
    """A number, or the address at which the device reads one."""
    return (0.0, value.data_ptr()) if isinstance(value, Tensor) else (value, 0)


def _kernels() -> ModuleType:
    loaded = _load()
    assert isinstance(loaded, ModuleType)  # dispatch asks load_failure() first
    return loaded


def _queue(tensor: Tensor) -> tuple[int, int]:
    """Number of a tensor's device, and the address of the stream that is current there."""
    device = tensor.get_device()
    return device, torch._C._cuda_getCurrentRawStream(device)


def _layout(A: Tensor, G: Tensor) -> tuple[int, ...]:
    """What a workspace depends on: dtype, sizes and strides."""
    return (DTYPE_CODES[A.dtype], *G.shape, *A.stride(), *G.stride())


@functools.lru_cache(maxsize=4096)
def _workspace_size(op: str, *layout: int) -> tuple[int, int]:
    size: tuple[int, int] = getattr(_kernels(), f"{op}_workspace")(*layout)
    return size


def _workspace(like: Tensor, queue: tuple[int, int], op: str, *layout: int) -> tuple[Tensor | None, _Workspace]:
    """Memory for one call: scratch, to be kept until the kernels are queued, and the arguments that say where it is."""
    scratch_bytes, counter_count = _workspace_size(op, *layout)
    if not scratch_bytes and not counter_count:
        return None, (0, 0, 0, 0)
    scratch = like.new_empty(scratch_bytes, dtype=torch.uint8)
    counters = _COUNTERS.get(like, queue, counter_count)
    return scratch, (scratch.data_ptr(), scratch_bytes, counters.data_ptr(), counters.numel())


_COUNTERS = Counters()
