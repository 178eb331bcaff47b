"""What the process of the interpreted kernels runs."""

import os
import tempfile
from typing import Any, NamedTuple

import torch
from torch import Tensor


class FarApart(NamedTuple):
    """An argument (N, C, P) whose channels shall lie 2³⁰ elements apart in memory, and its samples further."""

    values: Tensor


def start() -> None:
    """Switch the interpreter on, before anything imports Triton."""
    os.environ["TRITON_INTERPRET"] = "1"
    torch.set_num_threads(1)


def run(op: str, arguments: tuple[Any, ...]) -> Any:
    """Call a function of `camfast.ops.triton`."""
    from camfast.ops import triton

    assert triton.load_failure() is None
    return getattr(triton, op)(*(_spread(value) if isinstance(value, FarApart) else value for value in arguments))


def _spread(argument: FarApart) -> Tensor:
    values = argument.values
    channel = 2**30 + 8
    strides = (values.shape[1] * channel, channel, 1)
    elements = 1 + sum((size - 1) * stride for size, stride in zip(values.shape, strides, strict=True))
    with tempfile.NamedTemporaryFile() as file:  # sparse: it takes the room of what is written
        file.truncate(elements * values.element_size())
        room = torch.from_file(file.name, shared=True, size=elements, dtype=values.dtype)
    return room.as_strided(values.shape, strides).copy_(values)
