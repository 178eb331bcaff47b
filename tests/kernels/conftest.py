"""The kernels under Triton's interpreter, in a process of their own.

Triton decides when it is imported whether kernels are interpreted, for the whole process; this one compiles them
(`tests.kernels.compiler`), and torch.compile needs it as it is.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from tests.kernels import interpreter


@pytest.fixture(scope="session")
def interpreted() -> Iterator[Callable[..., Any]]:
    """Call a function of `camfast.ops.triton` by its name, on CPU tensors."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=interpreter.start) as process:
        yield lambda op, *arguments: process.submit(interpreter.run, op, arguments).result()
