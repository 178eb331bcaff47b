"""The way from CUDA tensors to `camfast._C_cuda`: addresses, sizes, strides and the stream as integers.

Inputs have passed the checks of their op. Kernels are queued on the current stream of the tensors' device; nothing is
waited for, so all of this may be captured in a CUDA graph.
"""

import functools
import importlib
import threading
from types import ModuleType

import torch
from torch import Tensor

from camfast.ops.forms import Rectify, map_dtype
from camfast.ops.operands import DTYPE_CODES, RECTIFY_CODES, by_position, lead, lead_strides, pair

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
