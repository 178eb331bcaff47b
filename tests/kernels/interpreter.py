"""What the process of the interpreted kernels runs."""

import os
from typing import Any

import torch


def start() -> None:
    """Switch the interpreter on, before anything imports Triton."""
    os.environ["TRITON_INTERPRET"] = "1"
    torch.set_num_threads(1)


def run(op: str, arguments: tuple[Any, ...]) -> Any:
    """Call a function of `camfast.ops.triton`."""
    from camfast.ops import triton

    assert triton.load_failure() is None
    return getattr(triton, op)(*arguments)
