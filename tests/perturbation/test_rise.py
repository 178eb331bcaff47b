"""RISE against a loop over masks made by `torch.nn.functional.interpolate`, in float64."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

import camfast
from camfast.perturbation.rise import draw_masks

MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _classifier(channels: int, shape: tuple[int, ...], classes: int = 4) -> nn.Sequential:
    pixels = channels * math.prod(shape)
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 9), nn.Tanh(), nn.Linear(9, classes))
    return model.double().eval().requires_grad_(False)


def _mask(grid: Tensor, shift: list[int], shape: tuple[int, ...]) -> Tensor:
    cell = [math.ceil(extent / cells) for extent, cells in zip(shape, grid.shape, strict=True)]
    size = [(cells + 1) * pixels for cells, pixels in zip(grid.shape, cell, strict=True)]
    whole = interpolate(grid[None, None], size, mode=MODES[len(shape)], align_corners=False)[0, 0]
    return whole[tuple(slice(a, a + extent) for a, extent in zip(shift, shape, strict=True))]


@pytest.mark.parametrize(("shape", "cells"), [((9,), 4), ((1,), 1), ((8, 7), (3, 2)), ((5, 4, 6), 2)], ids=str)
@pytest.mark.parametrize("softmax", [True, False])
def test_maps_are_what_a_loop_finds(shape: tuple[int, ...], cells: Any, softmax: bool) -> None:
    model, images = _classifier(2, shape), torch.randn(3, 2, *shape).double()
    heat = camfast.rise(model, images, masks=11, cells=cells, probability=0.3, softmax=softmax, seed=5, batch=4)
    drawn = draw_masks(11, shape, cells, 0.3, 5, images)
    expected = torch.zeros(3, *shape).double()
    for n in range(3):
        c = int(model(images)[n].argmax())
        for grid, shift in zip(drawn.grids, drawn.shifts.tolist(), strict=True):
            mask = _mask(grid, shift, shape)
            scores = model((images[n] * mask)[None])
            expected[n] += float((scores.softmax(1) if softmax else scores)[0, c]) * mask / (11 * 0.3)
    assert torch.allclose(heat, expected, atol=1e-12)
    alone = camfast.rise(model, images[2:], masks=11, cells=cells, probability=0.3, softmax=softmax, seed=5)
    assert torch.allclose(alone[0], heat[2], atol=1e-12)


def test_masks_are_drawn_as_said() -> None:
    drawn = draw_masks(3000, (10, 12), (5, 4), 0.3, 0, torch.ones(1))
    assert drawn.cell == (2, 3)
    assert drawn.shifts.amin(0).tolist() == [0, 0]
    assert drawn.shifts.amax(0).tolist() == [1, 2]
    assert abs(float(drawn.grids.mean()) - 0.3) < 4 * math.sqrt(0.3 * 0.7 / drawn.grids.numel())
    some = drawn(torch.arange(64))
    assert some.shape == (64, 10, 12)
    assert float(some.min()) >= 0
    assert float(some.max()) <= 1


def test_the_place_that_matters_is_found() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 2, bias=False))
    nn.init.zeros_(model[1].weight).view(2, 16, 16).data[1, 4, 11] = 8  # type: ignore[union-attr]
    heat = camfast.rise(model.requires_grad_(False), torch.ones(1, 1, 16, 16), 1, masks=600)[0]
    row, column = divmod(int(heat.argmax()), 16)
    assert abs(row - 4) + abs(column - 11) <= 2  # half a cell


def test_targets_seeds_and_baselines() -> None:
    model, images = _classifier(1, (6,)), torch.randn(3, 1, 6).double()
    everything = camfast.rise(model, images, "all", masks=20, cells=3)
    assert everything.shape == (3, 4, 6)
    assert torch.allclose(camfast.rise(model, images, 2, masks=20, cells=3), everything[:, 2], atol=1e-12)
    assert not torch.allclose(camfast.rise(model, images, 2, masks=20, cells=3, seed=1), everything[:, 2])
    same = camfast.rise(model, images, 2, masks=20, cells=3, baseline=images)  # nothing is hidden
    p = model(images).softmax(1)[:, 2]
    masks = draw_masks(20, (6,), 3, 0.5, 0, images)(torch.arange(20)).mean(0) / 0.5
    assert torch.allclose(same, p[:, None] * masks, atol=1e-12)


def test_what_does_not_fit_is_named() -> None:
    model, images = _classifier(1, (6,)), torch.randn(2, 1, 6).double()
    cases: list[tuple[str, dict[str, Any]]] = [
        ("masks must be a whole number of at least 1, found 0", {"masks": 0}),
        ("probability must be above 0 and up to 1, found 0", {"probability": 0}),
        ("probability must be above 0 and up to 1, found '0.5'", {"probability": "0.5"}),
        ("seed must be a whole number of at least 0, found None", {"seed": None}),
        (r"cells must be a whole number of at least 1, or 1, one a .*found \(2, 2\)", {"cells": (2, 2)}),
        ("cells must be a whole number of at least 1", {"cells": 0}),
        ("no classes to take the softmax over: pass softmax=False", {"output": lambda scores: scores[:, 0]}),
    ]
    for message, change in cases:
        with pytest.raises(ValueError, match=message):
            camfast.rise(model, images, **change)
