"""Metrics and perturbations on the device of each runner: the numbers of the CPU, and results that stay there."""

# ruff: noqa: ARG005 (one signature for all measures)

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast import metrics
from tests.gpu.runners import Runner

NEAR = 1e-9  # float64; other orders of summation on a GPU


def _setting(rank: int) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(1)
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    model = nn.Sequential(convolution(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(2), nn.Flatten(), nn.LazyLinear(5))
    images = torch.randn(3, 2, *(6, 5, 4)[:rank]).double()
    model.double().eval()(images)
    return model.requires_grad_(False), images, torch.randn(3, *images.shape[2:]).double()


MEASURES: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "confidence": lambda model, x, maps: metrics.confidence_change(model, x, maps).masked,
    "top50": lambda model, x, maps: metrics.confidence_change(model, x, maps.round(), mask="top50").masked,
    "deletion": lambda model, x, maps: metrics.deletion(model, x, maps.round(), steps=5).scores,
    "insertion": lambda model, x, maps: metrics.insertion(model, x, maps, 1, steps=5).scores,
    "region_drop": lambda model, x, maps: metrics.region_drop(model, x, 1, maps, draws=3).random,
    "occlusion": lambda model, x, maps: camfast.occlusion(model, x, "all", window=2, baseline="mean"),
    "rise": lambda model, x, maps: camfast.rise(model, x, masks=9, cells=3),
    "share_inside": lambda model, x, maps: metrics.share_inside(maps, maps > 0).share,
    "sum_to_score": lambda model, x, maps: torch.stack(metrics.sum_to_score(x, x.flatten(2)[:, :, 0]), dim=1),
}


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", MEASURES)
def test_the_device_makes_no_difference(runner: Runner, name: str, rank: int) -> None:
    model, images, maps = _setting(rank)
    expected = MEASURES[name](model, images, maps)
    device = runner.device
    found = MEASURES[name](model.to(device), images.to(device), maps.to(device))
    assert found.device.type == device
    assert expected.isfinite().all()
    assert torch.allclose(found.cpu(), expected, atol=NEAR)


def test_randomised_layers_on_the_device(runner: Runner) -> None:
    model, images, _ = _setting(2)
    model, images = model.to(runner.device), images.to(runner.device)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    generators = torch.cuda.get_rng_state() if runner.device == "cuda" else torch.get_rng_state()
    found = metrics.randomization_check(model, images, lambda model, x: model[0](x).sum(1), seeds=2)
    assert found.modes["cascading"].spearman.shape == (2, 2, 3)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    after = torch.cuda.get_rng_state() if runner.device == "cuda" else torch.get_rng_state()
    assert torch.equal(after, generators)
