"""The effective receptive field against what is known of uniform convolutions."""

import math

import pytest
import torch
from torch import nn

import camfast

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def _blurs(rank: int, count: int, *, relu: bool = False) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(count):
        convolution = CONVOLUTIONS[rank](1, 1, 3, padding=1, bias=False)
        nn.init.constant_(convolution.weight, 3.0**-rank)
        parts += [convolution, nn.ReLU(inplace=True)] if relu else [convolution]
    return nn.Sequential(*parts)


@pytest.mark.parametrize(("rank", "count", "side"), [(1, 5, 64), (1, 20, 128), (2, 6, 48), (3, 5, 31)])
@pytest.mark.parametrize("statistic", ["absolute", "mean", "rms"])
def test_uniform_convolutions_have_the_sigma_of_their_sum(rank: int, count: int, side: int, statistic: str) -> None:
    model = _blurs(rank, count, relu=True)
    found = camfast.effective_receptive_field(model, torch.ones(2, 1, *(side,) * rank), str(2 * count - 1), statistic)  # type: ignore[arg-type]
    assert found.images == 2
    assert found.r_squared > 0.99
    for sigma, centre in zip(found.sigma, found.centre, strict=True):
        assert abs(sigma / math.sqrt(2 * count / 3) - 1) < 0.05
        assert abs(centre - side // 2) < 0.05
    assert found.field.shape == (side,) * rank


def test_axes_are_told_apart() -> None:
    model = nn.Sequential(*(nn.Conv2d(1, 1, (3, 1), padding=(1, 0), bias=False) for _ in range(8)), _blurs(2, 6))
    for step in list(model)[:-1]:
        nn.init.constant_(step.weight, 1 / 3)
    found = camfast.effective_receptive_field(model, torch.ones(1, 1, 64, 64), "8.5")
    assert abs(found.sigma[0] / math.sqrt(2 * 14 / 3) - 1) < 0.05
    assert abs(found.sigma[1] / math.sqrt(2 * 6 / 3) - 1) < 0.05


def test_the_statistics_are_what_they_say() -> None:
    model = nn.Sequential(nn.Conv1d(1, 4, 5, padding=2), nn.Tanh(), nn.Conv1d(4, 4, 5, padding=2))
    images = torch.randn(6, 1, 33)
    gradients = []
    for image in images:
        leaf = image[None].clone().requires_grad_()
        gradients.append(torch.autograd.grad(model(leaf)[0, :, 16].sum(), leaf)[0][0].sum(0))
    stacked = torch.stack(gradients)
    expected = {
        "absolute": stacked.abs().mean(0),
        "mean": stacked.mean(0).relu(),
        "rms": stacked.square().mean(0).sqrt(),
    }
    for statistic, field in expected.items():
        found = camfast.effective_receptive_field(model, images, "2", statistic)  # type: ignore[arg-type]
        assert torch.allclose(found.field, field, atol=1e-6)


def test_the_model_is_left_as_it_was() -> None:
    model = _blurs(1, 3)
    camfast.effective_receptive_field(model, torch.ones(1, 1, 16), "2")
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks for module in model.modules())


def test_errors_say_what_to_do() -> None:
    model = _blurs(1, 2, relu=True)
    with pytest.raises(ValueError, match="statistic must be one of absolute, mean, rms, found 'median'"):
        camfast.effective_receptive_field(model, torch.ones(1, 1, 16), "3", "median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is 0 for these images: give other images"):
        camfast.effective_receptive_field(model, -torch.ones(1, 1, 16), "3")
    with pytest.raises(ValueError, match="at least one image"):
        camfast.effective_receptive_field(model, torch.ones(0, 1, 16), "3")
