"""The way from CUDA tensors to `camfast._C_cuda`: addresses, sizes, strides and the stream as integers.

Inputs have passed the checks of their op. Kernels are queued on the current stream of the tensors' device; nothing is
waited for, so all of this may be captured in a CUDA graph.
"""

import functools
import importlib
import math
import threading
from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor

from camfast.ops.bands import Band, gaussian_band, linear_band
from camfast.ops.forms import Gain, Rectify, RunningMax, map_dtype, split_centres
from camfast.ops.operands import DTYPE_CODES, RECTIFY_CODES, by_position, by_sample, lead, lead_strides, pair

# (scratch, its bytes, counters, their number), as the kernels take them
_Workspace = tuple[int, int, int, int]


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


def linear_upsample(grid: Tensor, size: Sequence[int], out: Tensor | None = None) -> Tensor:
    """See `camfast.ops.linear_upsample`."""
    dtype, spatial = map_dtype(grid.dtype), grid.shape[-len(size) :]
    bands = [linear_band(*axis, dtype, grid.device) for axis in zip(spatial, size, strict=True)]
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
    dtype, spatial = map_dtype(grid.dtype), grid.shape[-len(size) :]
    axes = zip(spatial, size, sigma, starts, steps, strict=True)
    bands = [gaussian_band(*axis, gain, dtype, grid.device) for axis in axes]
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
    out: Tensor | None = None,
) -> Tensor:
    """See `camfast.ops.overlay`."""
    pixels, cells, colors = image.resolve_neg().contiguous(), heat.resolve_neg().contiguous(), table.contiguous()
    spatial, size = heat.shape[1:], image.shape[1:3]
    if out is None:
        out = image.new_empty((image.shape[0], *size, 3), dtype=torch.uint8)
    if sigma is None:
        bands = [linear_band(*axis, torch.float32, heat.device) for axis in zip(spatial, size, strict=True)]
    else:
        axes = zip(spatial, size, sigma, *split_centres(None, spatial, size), strict=True)
        bands = [gaussian_band(*axis, "average", torch.float32, heat.device) for axis in axes]
    _kernels().overlay(
        DTYPE_CODES[image.dtype], image.shape[0], *size, 3 if image.ndim == 4 else 1, pixels.data_ptr(),
        DTYPE_CODES[heat.dtype], cells.data_ptr(), *_axes(bands, spatial, size), colors.data_ptr(),
        *_level(low), *_level(high), alpha, black, white, out.data_ptr(), out.stride(0), *_queue(image),
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
    none = (0, 0, 1, 1, 0) * (3 - len(size))
    getattr(_kernels(), op)(
        DTYPE_CODES[grid.dtype], math.prod(lead), cells.data_ptr(), *none, *_axes(bands, spatial, size),
        out.data_ptr(), *_queue(grid),
    )  # fmt: skip
    return out


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


class _Counters:
    """Zeros that every kernel leaves as zeros, one tensor for each stream: calls of one stream follow each other."""

    _SMALLEST = 4096

    def __init__(self) -> None:
        self._by_queue: dict[tuple[int, int], Tensor] = {}
        self._lock = threading.Lock()

    def get(self, like: Tensor, queue: tuple[int, int], count: int) -> Tensor:
        if like.is_cuda and torch.cuda.is_current_stream_capturing():
            # a graph runs on any stream, also beside this one: it gets its own, cleared at each replay
            return like.new_zeros(count, dtype=torch.int32)
        with self._lock:
            counters = self._by_queue.get(queue)
            if counters is None or counters.numel() < count:
                counters = like.new_zeros(max(count, self._SMALLEST), dtype=torch.int32)
                self._by_queue[queue] = counters
        return counters


_COUNTERS = _Counters()
