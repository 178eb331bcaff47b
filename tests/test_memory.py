"""Memory is flat over thousands of calls, of which every tenth fails at one stage or another."""

import ctypes
import gc
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from tests.capture.networks import Apply

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = 400
DRIFT = 2**20  # bytes; what 10,000 calls may leave behind, a hundred each
_STATUS = Path("/proc/self/status")


class _FailureError(Exception):
    pass


class _Failing(nn.Module):
    """Passes on what it is given, but for when it is told to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False

    def forward(self, x: Tensor) -> Tensor:
        if self.fails:
            raise _FailureError
        return x


def _network() -> nn.Sequential:
    """Layers "0" to "4" in front of a small head; "2" fails when told to."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), _Failing(), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4),
        nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 8), Apply(torch.tanh), nn.Linear(8, 5),
    ).eval()  # fmt: skip


def _calls(model: nn.Sequential, x: Tensor) -> Iterator[Callable[[], object]]:
    """Endless calls of many kinds: methods, layers, targets, upsamplings, options."""
    gaussian: dict[str, Any] = {"upsample": "gaussian", "sigma": 2.0}
    out = torch.empty(2, 8, 8)
    explainers = [
        camfast.Explainer(model, "1", "gradcam"),
        camfast.Explainer(model, "6", "respond", **gaussian),
        camfast.Explainer(model, ["1", "6"], "layercam", fuse="mean"),
        camfast.Explainer(model, "3", "gradcam++", create_graph=True, **gaussian),
        camfast.Explainer(model, "6", "eigengradcam"),
        camfast.Explainer(model, "4", "hirescam", size="grid"),  # changed in place by the ReLU behind it
        camfast.Explainer(model, "1", "eigencam"),
    ]
    targets: tuple[Any, ...] = ("predicted", 3, "all", torch.tensor([1, 4]), camfast.Unit("8", 2), lambda s: s[:, :2])

    def fresh() -> object:
        return camfast.cam(model, x, "6", 1, method="xgradcam")  # an explainer of its own

    def reused() -> object:
        return explainers[0](x, 2, out=out)

    def own_step() -> object:
        with camfast.capture(model, "1") as captured:
            scores = model(x)
        return captured.map(scores[:, 1])

    for explainer, target in itertools.cycle(itertools.product(explainers, targets)):
        yield lambda explainer=explainer, target=target: explainer(x, target)
        yield from (fresh, reused, own_step)


def _failures(model: nn.Sequential, x: Tensor) -> Iterator[Callable[[], object]]:
    """Endless calls that fail: in the target, the forward pass, the backward pass, and where the map is made."""
    explainer = camfast.Explainer(model, "1", "respond", upsample="gaussian", sigma=2.0)
    several = camfast.Explainer(model, ["1", "6"], "hirescam", create_graph=True)

    def fail(tensor: Tensor) -> Tensor:
        raise _FailureError

    def fail_in_backward(scores: Tensor) -> Tensor:
        values = scores[:, 0]
        values.register_hook(fail)
        return values

    def in_forward() -> object:
        model[2].fails = True
        try:
            return explainer(x, 1)
        finally:
            model[2].fails = False

    yield from itertools.cycle((
        lambda: explainer(x, 7),
        lambda: explainer(x, camfast.Unit("8", 99)),
        lambda: explainer(x, fail),
        lambda: explainer(x, fail_in_backward),
        lambda: several(x, fail_in_backward),
        in_forward,
        lambda: explainer(x, 1, out=torch.empty(2, 7, 7)),
        lambda: explainer.replace(layer_output=fail)(x, 1),
        lambda: explainer.replace(reshape=lambda a: a.flatten())(x, 1),
        lambda: camfast.cam(model, x, "2", camfast.Unit("1", 0)),  # a unit that the layer has no part in
        lambda: camfast.cam(model, x[:, :2], "1"),  # torch's own error
    ))  # fmt: skip


def _resident() -> int:
    """Anonymous memory of this process in bytes, after all that is free has been given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) * 1024


@pytest.fixture(autouse=True)
def _needs_proc() -> None:
    if not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("resident memory is read from /proc, after glibc's malloc_trim")


def _growth(calls: int, step: Callable[[int], None]) -> tuple[int, int]:
    """How many bytes and Python objects there are more after so many steps than after the first."""
    for index in range(WARM_UP):
        step(index)
    bytes_before = _resident()
    objects_before = len(gc.get_objects())
    for index in range(calls):
        step(index)
    bytes_after = _resident()
    return bytes_after - bytes_before, len(gc.get_objects()) - objects_before


def _explain_and_fail(calls: int) -> tuple[int, int]:
    model, x = _network(), torch.randn(2, 3, 8, 8)
    good, bad = _calls(model, x), _failures(model, x)
    failed = 0

    def step(index: int) -> None:
        nonlocal failed
        if index % 10:
            next(good)()
            return
        try:
            next(bad)()
        except (_FailureError, ValueError, RuntimeError):
            failed += 1

    growth = _growth(calls, step)
    assert failed == (WARM_UP + calls) // 10
    assert not any(len(module._forward_hooks) for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    return growth


def _leak(calls: int) -> tuple[int, int]:
    kept: list[Any] = []
    return _growth(calls, lambda _: kept.append([torch.zeros(128)]))


def _apart(name: str, calls: int) -> tuple[int, int]:
    """What a function here measures in a process of its own, where nothing of other tests is left to be freed."""
    code = f"import json; from tests import test_memory; print(json.dumps(test_memory.{name}({calls})))"
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    grown, objects = json.loads(ran.stdout)
    return grown, objects


@pytest.mark.slow
def test_ten_thousand_calls() -> None:
    grown, objects = _apart("_explain_and_fail", 10_000)
    assert grown < DRIFT
    assert abs(objects) < 100


def test_a_thousand_calls() -> None:
    grown, objects = _apart("_explain_and_fail", 1_000)
    assert grown < DRIFT // 4  # pages of 4 KiB here and there are in it
    assert abs(objects) < 100


def test_a_leak_would_be_seen() -> None:
    grown, objects = _apart("_leak", 1_000)
    assert grown > DRIFT // 4
    assert objects >= 1_000
