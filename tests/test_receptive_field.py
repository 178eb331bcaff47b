"""The effective receptive field against what is known of uniform convolutions."""

import gc
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import nn

import camfast
from camfast.receptive_field import _fit

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def _blurs(rank: int, count: int, *, relu: bool = False) -> nn.Sequential:
    parts: list[nn.Module] = []
    for _ in range(count):
        convolution = CONVOLUTIONS[rank](1, 1, 3, padding=1, bias=False)
        nn.init.constant_(convolution.weight, 3.0**-rank)
        parts += [convolution, nn.ReLU(inplace=True)] if relu else [convolution]
    return nn.Sequential(*parts)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("count", [5, 8, 16, 24])
@pytest.mark.parametrize("statistic", ["absolute", "mean", "rms"])
def test_uniform_convolutions_have_the_sigma_of_their_sum(rank: int, count: int, statistic: str) -> None:
    side = 2 * count + 5 if rank < 3 else max(21, round(7 * math.sqrt(2 * count / 3)))  # all of it, or ± 3.5 σ of it
    model = _blurs(rank, count, relu=True)
    found = camfast.effective_receptive_field(model, torch.ones(2, 1, *(side,) * rank), str(2 * count - 1), statistic)  # type: ignore[arg-type]
    assert found.images == 2
    assert found.r_squared > 0.99
    assert len(found.r_squared_per_axis) == rank
    assert min(found.r_squared_per_axis) > 0.99
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


def test_r_squared_per_axis_tells_which_axis_is_no_gaussian() -> None:
    blur, apart = _blurs(2, 6), nn.Conv2d(1, 1, (1, 31), padding=(0, 15), bias=False)
    nn.init.zeros_(apart.weight)
    with torch.no_grad():
        apart.weight[..., [0, 30]] = 1  # two peaks along the second axis
    found = camfast.effective_receptive_field(nn.Sequential(blur, apart), torch.ones(1, 1, 64, 64), "1")
    assert found.r_squared_per_axis[0] > 0.99
    assert found.r_squared_per_axis[1] < 0.6
    assert found.r_squared < 0.6


@pytest.mark.parametrize("statistic", ["absolute", "mean", "rms"])
def test_batches_change_nothing_but_the_memory(statistic: Any) -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 5, padding=2), nn.Tanh(), nn.Conv2d(4, 4, 5, padding=2)).double()
    images = torch.randn(7, 2, 17, 15, dtype=torch.float64)
    whole = camfast.effective_receptive_field(model, images, "2", statistic, batch=7)
    for batch in (1, 3, 100):
        parts = camfast.effective_receptive_field(model, images, "2", statistic, batch=batch)
        assert torch.allclose(parts.field, whole.field, rtol=1e-6)  # float32 of float64 sums
        assert parts.sigma == pytest.approx(whole.sigma, rel=1e-5)
        assert parts.images == 7
    seen: list[int] = []
    with model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0]))):
        camfast.effective_receptive_field(model, images, "2", statistic, batch=3)
    assert seen == [3, 3, 1]


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    def held(count: int) -> int:
        """Fields of float64 that are alive when the last batch goes through the model."""
        model, alive = _blurs(2, 2), []

        def count_fields(*_: Any) -> None:
            tensors = (found for found in gc.get_objects() if issubclass(type(found), torch.Tensor))
            alive.append(sum(tensor.dtype == torch.float64 and tensor.shape == (11, 13) for tensor in tensors))

        model.register_forward_pre_hook(count_fields)
        camfast.effective_receptive_field(model, torch.ones(count, 1, 11, 13), "1", batch=1)
        return alive[-1]

    assert held(12) == held(2)


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 24), (24, 2), (1, 17, 19), (1, 1, 1)], ids=str)
def test_axes_with_too_few_pixels_for_a_fit(shape: tuple[int, ...]) -> None:
    model = _blurs(len(shape), 5)
    found = camfast.effective_receptive_field(model, torch.ones(2, 1, *shape), "4")
    for extent, sigma, centre in zip(shape, found.sigma, found.centre, strict=True):
        if extent < 3:
            assert sigma == 0.5
            assert centre == pytest.approx((extent - 1) / 2, abs=0.2)  # the middle, moved by the weights
        else:
            assert centre == pytest.approx(extent // 2, abs=0.05)
            assert sigma == pytest.approx(math.sqrt(10 / 3), rel=0.05)
    assert math.isnan(found.r_squared) == (max(shape) < 3)  # all that was seen is the same: no variance


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_the_field_of_gradients_is_wider_than_that_of_their_squares(activation: type[nn.Module]) -> None:
    parts: list[nn.Module] = []
    for depth in range(8):
        parts += [nn.Conv2d(1 if depth == 0 else 8, 8, 3, padding=1, bias=False), activation()]
        nn.init.kaiming_normal_(parts[-2].weight)
    model, images = nn.Sequential(*parts), torch.randn(96, 1, 36, 36)
    absolute = camfast.effective_receptive_field(model, images, "15", batch=32)
    rms = camfast.effective_receptive_field(model, images, "15", "rms", batch=32)
    # the root of a Gaussian of σ is a Gaussian of √2 σ; random kernels are no exact Gaussians: within a tenth
    narrow = _fit(rms.field.double().square().numpy())[0]
    for one, other, squared in zip(absolute.sigma, rms.sigma, narrow, strict=True):
        assert one / squared == pytest.approx(math.sqrt(2), rel=0.12)
        assert other / squared == pytest.approx(math.sqrt(2), rel=0.12)


@pytest.mark.realdata
def test_squeezenet_looks_through_a_gaussian(data_dir: Path) -> None:
    network = camfast.models.load("squeezenet1_0", data_dir / "imagenet" / "squeezenet1_0.safetensors")
    assert network.preprocess is not None
    places, images = random.Random(0), []
    for name in ("both.png", "chelsea.png", "coffee.png", "parrot.jpg"):
        with Image.open(data_dir / "imagenet" / name) as picture:
            photograph = picture.convert("RGB")
        for _ in range(8):
            side = min(photograph.size) * places.uniform(0.4, 1)
            left, top = (places.uniform(0, extent - side) for extent in photograph.size)
            crop = photograph.crop((int(left), int(top), int(left + side), int(top + side)))
            images.append(network.preprocess(ImageOps.mirror(crop) if places.random() < 0.5 else crop))
    found = camfast.effective_receptive_field(network.module, torch.cat(images), "fire9")
    assert found.images == 32
    assert found.r_squared > 0.93
    assert min(found.r_squared_per_axis) > 0.97
    centres = camfast.receptive_field_centres(network.module, "fire9", images[0])
    for sigma, centre, (start, step) in zip(found.sigma, found.centre, centres, strict=True):
        assert abs(centre - (start + 13 // 2 * step)) < 4  # a quarter of a cell, and what images bring along
        assert 18 < sigma < 26


def test_the_model_is_left_as_it_was() -> None:
    model = _blurs(1, 3)
    with camfast.capture(model, "1") as captured:  # what a caller has going on with the model is no business of this
        scores = model(torch.ones(1, 1, 16))
        camfast.effective_receptive_field(model, torch.ones(1, 1, 16), "2")
        assert captured.map(scores.sum((1, 2)), size="grid").shape == (1, 16)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(not module._forward_hooks for module in model.modules())


def test_training_mode_is_warned_of() -> None:
    model = nn.Sequential(_blurs(1, 2), nn.BatchNorm1d(1)).train()
    with pytest.warns(camfast.TrainingModeWarning, match="BatchNorm1d"):
        camfast.effective_receptive_field(model, torch.randn(2, 1, 16), "1")


def test_errors_say_what_to_do() -> None:
    model = _blurs(1, 2, relu=True)
    with pytest.raises(ValueError, match="statistic must be one of absolute, mean, rms, found 'median'"):
        camfast.effective_receptive_field(model, torch.ones(1, 1, 16), "3", "median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is 0 for these images: give other images"):
        camfast.effective_receptive_field(model, -torch.ones(1, 1, 16), "3")
    for batch in (0, "8", None):
        with pytest.raises(ValueError, match=f"batch must be a whole number of at least 1, found {batch!r}"):
            camfast.effective_receptive_field(model, torch.ones(1, 1, 16), "3", batch=batch)  # type: ignore[arg-type]
    for value in (torch.nan, torch.inf):
        with pytest.raises(ValueError, match="inputs hold NaN or infinity"):
            camfast.effective_receptive_field(model, torch.ones(2, 1, 16).index_fill(0, torch.tensor(1), value), "3")
    with pytest.raises(ValueError, match="one to three spatial axes, found ndarray"):
        camfast.effective_receptive_field(model, np.ones((1, 1, 16)), "3")  # type: ignore[arg-type]
    with pytest.raises(camfast.CaptureError, match="has no spatial axes"):
        camfast.effective_receptive_field(nn.Sequential(model, nn.Flatten()), torch.ones(1, 1, 16), "1")
    with pytest.raises(TypeError, match=r"real numbers, which alone have a gradient; found torch\.uint8"):
        camfast.effective_receptive_field(model, torch.ones(1, 1, 16, dtype=torch.uint8), "3")
    with pytest.raises(ValueError, match="at least one image"):
        camfast.effective_receptive_field(model, torch.ones(0, 1, 16), "3")
