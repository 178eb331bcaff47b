"""Where the drawn calls run: CPU kernels of an instruction set, the reference, kernels for GPUs that are played."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any
from unittest import mock

from camfast.ops import dispatch, native, plans, reference

WITHOUT = {("cuda", "window_sum")}
"""Ops that a machine has no kernel for."""


def instruction_sets() -> list[str]:
    """Those of this processor, the one that is chosen by itself last."""
    return list(native._kernels().supported_isas())


def environment(machine: str) -> dict[str, str]:
    """The environment of a process for a machine: ``cpu:<set>``, ``torch``, ``triton`` or ``cuda``."""
    kind, _, isa = machine.partition(":")
    own = {"cpu": {"CAMFAST_CPU_ISA": isa} if isa else {}, "triton": {"TRITON_INTERPRET": "1"}}.get(kind, {})
    return {**os.environ, "OMP_NUM_THREADS": "1", **own}


@contextmanager
def machine(name: str) -> Iterator[str]:
    """Let `camfast.ops` run there, on CPU tensors; gives the name of the backend."""
    kind = name.partition(":")[0]
    if kind in ("cpu", "torch"):
        yield kind
        return
    module = _interpreted() if kind == "triton" else _emulated()

    def choose(_op: str, _device: Any, backend: str | None) -> ModuleType:
        return reference if backend == "torch" else module

    with (
        mock.patch.object(dispatch, "choose", choose),
        mock.patch.object(plans.Plans, "attempt", return_value=None),
        mock.patch.object(plans.Plans, "keep", return_value=None),
    ):
        yield kind


def _interpreted() -> ModuleType:
    from camfast.ops import triton

    failure = triton.load_failure()
    if failure is not None:
        raise RuntimeError(f"the Triton kernels aren't interpreted ({failure}): run with TRITON_INTERPRET=1")
    return triton


def _emulated() -> ModuleType:
    from camfast.ops import cuda
    from camfast.ops.counters import Counters
    from tests.cuda.conftest import BUILD, Device, build

    device = Device(build(BUILD))
    cuda._load = lambda: device.kernels  # type: ignore[assignment]
    cuda._queue = lambda _: (0, 0)  # type: ignore[assignment]
    cuda._COUNTERS = Counters()
    device.schedule(1)
    return cuda
