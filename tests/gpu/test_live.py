"""The live overlay on the device of each runner: the CPU's pictures, by pinned memory and a graph, two on their way."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.live import Overlay, Picture
from camfast.models import Preprocess
from tests.gpu.runners import Runner

PREPROCESS = Preprocess(size=(36, 28), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))
SHAPE = (70, 52)


def _pictures() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 15 * 11, 5)
    ).eval()


def _volumes() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 6, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4 * 6 * 5, 4)
    ).eval()  # fmt: skip


def _frames(shape: tuple[int, ...], count: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16) for seed in range(count)]


def _overlays(runner: Runner, model: nn.Module, layer: str, shape: tuple[int, ...], **options: object) -> list[Overlay]:
    """The runner's pipeline, and the CPU's by plain torch."""
    there = copy.deepcopy(model).to(runner.device)
    return [
        Overlay(
            camfast.Explainer(one, layer, "respond", upsample="gaussian", sigma=6.0, backend=backend),
            shape, "uint16", **options,
        )
        for one, backend in ((there, runner.backend), (model, "torch"))
    ]  # fmt: skip


def _colours_alike(found: Picture, expected: Picture) -> None:
    """The blend of one pipeline, made again of its parts by plain torch; the parts are compared on their own."""
    again = camfast.ops.overlay(
        found.gray[None], found.grid[None], low=found.low, high=found.high, backend="torch",
        sigma=tuple(6.0 * frame / size for frame, size in zip(SHAPE, PREPROCESS.size or SHAPE, strict=True)),
    )[0]  # fmt: skip
    _alike(found.rgb, again)
    assert (found.rgb.float() - expected.rgb.float()).abs().mean() < COLOURS


# Mean difference of colours: where the scale's ends differ by 1 %, a shade moves by 2 or 3 of 255, and a channel of jet
# by up to four times that, times the opacity.
COLOURS = 6


def _alike(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Bytes may be one off where a sum falls on the other side of a half, and a colour's neighbour in the table."""
    difference = (found.int() - expected.int()).abs()
    assert difference.max() <= 4
    assert (difference > 1).float().mean() < 0.01


@pytest.mark.parametrize("target", ["predicted", 3])
def test_it_shows_what_the_cpu_shows(runner: Runner, target: int | str) -> None:
    there, here = _overlays(runner, _pictures(), "3", SHAPE, preprocess=PREPROCESS, target=target)
    for frame in _frames(SHAPE, 4):
        found, expected = there.show(frame), here.show(frame)
        assert found.target == expected.target
        # float32 through convolutions that sum in another order, at TF32's precision where the device takes it
        torch.testing.assert_close(found.scores, expected.scores, rtol=5e-3, atol=5e-3)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-2, abs=1e-2)
        _alike(found.gray, expected.gray)
        _colours_alike(found, expected)


def test_two_frames_may_be_on_their_way(runner: Runner) -> None:
    there, _ = _overlays(runner, _pictures(), "3", SHAPE, preprocess=PREPROCESS, levels=(0.0, 4000.0))
    frames = _frames(SHAPE, 6)
    expected = []
    for frame in frames:
        expected.append(_kept(there.show(frame)))
    there.forget()
    pending = there.submit(frames[0])
    found = []
    for frame in frames[1:]:
        following = there.submit(frame)
        found.append(_kept(pending.result()))
        pending = following
    found.append(_kept(pending.result()))
    for one, other in zip(found, expected, strict=True):
        for ours, theirs in zip(one, other, strict=True):
            assert torch.equal(ours, theirs)


def _kept(picture: Picture) -> tuple[torch.Tensor, ...]:
    return picture.rgb.clone(), picture.grid.clone(), picture.scores.clone()


def test_classes_and_colours_may_change_between_frames(runner: Runner) -> None:
    there, here = _overlays(runner, _pictures(), "3", SHAPE, preprocess=PREPROCESS, levels=(0.0, 4000.0))
    frame = _frames(SHAPE, 1)[0]
    for target in (1, 2, "predicted", 1):
        for overlay in (there, here):
            overlay.target = target
        for alpha, threshold, colormap in ((0.3, 0.0, "jet"), (1.0, 0.5, "hot"), (0.0, 0.0, "gray")):
            for overlay in (there, here):
                overlay.alpha, overlay.threshold, overlay.colormap = alpha, threshold, colormap
            found, expected = there.show(frame), here.show(frame)
            assert found.target == expected.target
            torch.testing.assert_close(
                found.grid, expected.grid, rtol=2e-2, atol=2e-2 * float(expected.grid.abs().max())
            )
            if alpha == 0:
                _alike(found.rgb, expected.rgb)
            else:
                assert (found.rgb.float() - expected.rgb.float()).abs().mean() < COLOURS


def test_volumes(runner: Runner) -> None:
    shape = (9, 14, 11)
    there, here = _overlays(runner, _volumes(), "1", shape, volume=True, levels=(0.0, 4000.0))
    frame = _frames(shape, 1)[0]
    found, expected = there.show(frame), here.show(frame)
    assert found.rgb.shape == (23, 20, 3)
    _alike(found.gray, expected.gray)
    torch.testing.assert_close(found.grid, expected.grid, rtol=2e-2, atol=2e-2 * float(expected.grid.abs().max()))
    assert (found.rgb.float() - expected.rgb.float()).abs().mean() < COLOURS
    assert not torch.equal(found.rgb, found.gray[..., None].expand(-1, -1, 3))


def test_stages_on_a_gpu_are_told(gpu_runner: Runner) -> None:
    there, _ = _overlays(gpu_runner, _pictures(), "3", SHAPE, preprocess=PREPROCESS)
    there.show(_frames(SHAPE, 1)[0])
    stages = there.show(_frames(SHAPE, 1)[0]).milliseconds
    assert list(stages) == ["stage", "upload", "explain", "colour", "download"]
    assert all(0 <= milliseconds < 1e4 for milliseconds in stages.values())
