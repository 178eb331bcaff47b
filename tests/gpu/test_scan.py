"""Scans on the device of each runner: the CPU's map, twice the same bits."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.scan.scanner import scan
from camfast.scan.windows.exact import cut_windows
from tests.gpu.runners import Runner
from tests.oracle import relative_error

NEAR = 1e-4  # float32 convolutions of two libraries
OPTIONS = {"window": 16, "stride": 8, "batch": 4, "progress": False}


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(6, 8, 3, padding=1), nn.ReLU(),
        nn.MaxPool3d(2), nn.Flatten(), nn.Linear(8 * 4**3, 16), nn.ReLU(), nn.Linear(16, 5),
    ).eval()  # fmt: skip


def _volume() -> np.ndarray:
    return np.random.default_rng(0).gamma(2.0, 3.0, (34, 40, 29)).astype(np.float32)


@pytest.mark.parametrize("trunk", ["exact", "shared"])
@pytest.mark.parametrize("blend", ["center", "max"])
def test_it_is_the_cpus_map(runner: Runner, trunk: str, blend: str) -> None:
    model, volume = _model(), _volume()
    there = camfast.Explainer(copy.deepcopy(model).to(runner.device), "5", "respond", backend=runner.backend)
    found = [scan(volume, there, target=[1, 3], trunk=trunk, blend=blend, **OPTIONS) for _ in range(2)]  # type: ignore[arg-type]
    expected = scan(
        volume, camfast.Explainer(model, "5", "respond"), target=[1, 3], trunk=trunk, blend=blend, **OPTIONS
    )  # type: ignore[arg-type]
    assert relative_error(found[0].cam, expected.cam) < NEAR
    assert relative_error(found[0].scores, expected.scores) < NEAR
    assert torch.equal(found[0].cam, found[1].cam)


def test_windows_are_cut_where_they_are(runner: Runner) -> None:
    values = torch.arange(2 * 9 * 8 * 7.0).view(2, 9, 8, 7)
    first = np.array([[0, 0, 0], [5, 3, 1], [2, 4, 3]])
    found = cut_windows(values.to(runner.device), first, (4, 4, 4)).cpu()
    for row, (z, y, x) in zip(found, first.tolist(), strict=True):
        assert torch.equal(row, values[:, z : z + 4, y : y + 4, x : x + 4])
