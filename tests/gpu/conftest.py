"""The runners that a test is repeated for."""

import os

import pytest

from tests.gpu.runners import Runner

_CPU = pytest.param(Runner("cpu", "cpu"), id="cpu")
_GPU = [pytest.param(Runner(name, "cuda"), id=name, marks=pytest.mark.gpu) for name in ("cuda", "triton")]


def _usable(request: pytest.FixtureRequest) -> Runner:
    runner: Runner = request.param
    if (reason := runner.why_not()) is not None:
        if os.environ.get("CAMFAST_GPU_CHECK"):  # where nothing may be missing
            pytest.fail(reason)
        pytest.skip(reason)
    return runner


@pytest.fixture(params=[_CPU, *_GPU])
def runner(request: pytest.FixtureRequest) -> Runner:
    """Each backend on tensors of its own kind of device."""
    return _usable(request)


@pytest.fixture(params=_GPU)
def gpu_runner(request: pytest.FixtureRequest) -> Runner:
    """Each backend for GPUs."""
    return _usable(request)
