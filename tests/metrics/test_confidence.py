"""Average drop and increase in confidence against loops over images and pixels, in float64."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast.metrics import average_drop, confidence_change, increase_in_confidence
from camfast.models import Preprocess

SHAPES = [(7,), (5, 4), (3, 2, 5), (1,)]


def _classifier(channels: int, shape: tuple[int, ...], classes: int = 4) -> nn.Sequential:
    pixels = channels * math.prod(shape)
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 9), nn.Tanh(), nn.Linear(9, classes)).double().eval()


def _softmax(model: nn.Module, image: Tensor) -> list[float]:
    scores = [math.exp(v) for v in model(image[None])[0].tolist()]
    return [v / sum(scores) for v in scores]


def _mask(heat: Tensor, mask: str, scale: str) -> list[float]:
    u = heat.flatten().tolist()
    if max(u) == min(u) or (mask == "absolute" and scale == "positive" and max(u) <= 0):
        return [0.0] * len(u)
    if mask == "top50":
        kept = sorted(range(len(u)), key=lambda p: -u[p])[: len(u) // 2]
        return [float(p in kept) for p in range(len(u))]
    if scale == "positive":
        return [max(v, 0) / max(u) for v in u]
    return [(v - min(u)) / (max(u) - min(u)) for v in u]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", ["minmax", "positive"])
@pytest.mark.parametrize("mask", ["absolute", "top50"])
def test_every_sample_is_what_a_loop_finds(shape: tuple[int, ...], mask: Any, scale: Any) -> None:
    model = _classifier(2, shape)
    images, maps = torch.randn(5, 2, *shape).double(), torch.randn(5, *shape).double()
    maps[3] = -maps[3].abs()
    found = confidence_change(model, images, maps, mask=mask, scale=scale, batch=2)
    drops, increases = [], []
    for n in range(5):
        full = _softmax(model, images[n])
        top = full.index(max(full))
        m = torch.tensor(_mask(maps[n], mask, scale), dtype=torch.float64).reshape(shape)
        masked = _softmax(model, images[n] * m)
        assert int(found.classes[n]) == top
        assert abs(float(found.full[n]) - full[top]) < 1e-12
        assert abs(float(found.masked[n]) - masked[top]) < 1e-12
        drops.append(max(0.0, full[top] - masked[top]) / full[top])
        increases.append(masked[top] > full[top])
    assert abs(found.average_drop - 100 * sum(drops) / 5) < 1e-9
    assert found.increase == 100 * sum(increases) / 5
    options = {"mask": mask, "scale": scale}
    assert abs(average_drop(model, images, maps, **options) - found.average_drop) < 1e-9
    assert increase_in_confidence(model, images, maps, **options) == found.increase


PREPROCESSES = {
    "resnet20": Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "squeezenet": Preprocess(channels="BGR", scale=1.0, mean=(104.0, 117.0, 123.0)),
}


@pytest.mark.parametrize("name", PREPROCESSES)
@pytest.mark.parametrize("form", ["preprocess", "function"])
def test_black_multiplies_the_displayed_picture(name: str, form: str) -> None:
    preprocess = PREPROCESSES[name]
    pictures = np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3)).astype(np.float32)
    images = torch.cat([preprocess(picture) for picture in pictures])
    heat = torch.rand(3, 6, 5)
    heat = (heat - heat.amin((1, 2), True)) / (heat.amax((1, 2), True) - heat.amin((1, 2), True))
    # what the paper does: the mask multiplies the pixels of the file, and the result is preprocessed
    masked = torch.cat([preprocess(p * m[..., None].numpy()) for p, m in zip(pictures, heat, strict=True)])

    def normalise(displayed: Tensor) -> Tensor:
        mean, std = (torch.tensor(value)[:, None, None] for value in (preprocess.mean, preprocess.std))
        return (displayed * preprocess.scale - mean) / std

    model = _classifier(3, (6, 5)).float()
    given = preprocess if form == "preprocess" else normalise
    found = confidence_change(model, images, heat, preprocess=given)
    expected = model(masked).double().softmax(1).gather(1, found.classes[:, None])[:, 0]
    assert torch.allclose(found.masked, expected, atol=1e-5)  # float32 pictures of up to 255
    grey = confidence_change(model, images, heat, baseline="mean", preprocess=given)
    blended = model(images * heat[:, None]).double().softmax(1).gather(1, found.classes[:, None])[:, 0]
    assert torch.allclose(grey.masked, blended, atol=1e-6)
    assert not torch.allclose(grey.masked, found.masked, atol=1e-4)


def test_a_tensor_as_baseline() -> None:
    model, images = _classifier(2, (4,)), torch.randn(3, 2, 4).double()
    maps, background = torch.zeros(3, 4).double(), torch.randn(2, 1).double()
    found = confidence_change(model, images, maps, baseline=background)
    expected = model(background.expand(1, 2, 4)).softmax(1)[0]
    assert torch.allclose(found.masked, expected[found.classes], atol=1e-12)
    assert found.baseline == "a tensor (2, 1)"


@pytest.mark.parametrize("pixels", [6, 7])
def test_half_of_the_pixels_are_kept_whatever_the_ties(pixels: int) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 2, bias=False)).double()
    nn.init.zeros_(model[1].weight).data[0] = 1  # type: ignore[union-attr]
    maps = torch.zeros(4, pixels).double()
    maps[:, 2] = 1
    found = confidence_change(model, torch.ones(4, 1, pixels).double(), maps, mask="top50", seed=3)
    logits = found.masked.log() - (1 - found.masked).log()  # = the number of pixels that were kept
    assert torch.allclose(logits, torch.full((4,), pixels // 2).double(), atol=1e-9)


def test_ties_are_broken_by_the_seed_alone() -> None:
    model, images = _classifier(1, (40,)), torch.randn(3, 1, 40).double()
    maps = torch.zeros(3, 40).double()
    maps[:, 0] = 1
    first = confidence_change(model, images, maps, mask="top50", seed=1)
    again = confidence_change(model, images, maps, mask="top50", seed=1, batch=1)
    other = confidence_change(model, images, maps, mask="top50", seed=2)
    assert torch.allclose(first.masked, again.masked, atol=1e-12)
    assert (first.masked - other.masked).abs().min() > 1e-6


@pytest.mark.parametrize("mask", ["absolute", "top50"])
def test_constant_maps_keep_nothing_and_are_counted(mask: Any) -> None:
    model, images = _classifier(1, (6,)), torch.randn(3, 1, 6).double()
    maps = torch.rand(3, 6).double()
    maps[1] = 2.5
    found = confidence_change(model, images, maps, mask=mask)
    assert found.constant.tolist() == [False, True, False]
    assert torch.allclose(found.masked[1], model(torch.zeros(1, 1, 6).double()).softmax(1)[0, found.classes[1]])
    assert "1 constant maps" in str(found)


@pytest.mark.parametrize("mask", ["absolute", "top50"])
@pytest.mark.parametrize("scale", ["minmax", "positive"])
def test_nan_in_a_map_is_seen_in_its_sample_only(mask: Any, scale: Any) -> None:
    model, images, maps = _classifier(1, (6,)), torch.randn(3, 1, 6).double(), torch.rand(3, 6).double()
    maps[1, 2] = torch.nan
    found = confidence_change(model, images, maps, mask=mask, scale=scale)
    assert found.drop.isnan().tolist() == found.increased.isnan().tolist() == [False, True, False]
    assert math.isnan(found.average_drop)
    assert math.isnan(found.increase)


def test_the_model_and_what_is_given_stay_as_they_were() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(6, 3)).eval()
    before, images, maps = copy.deepcopy(model.state_dict()), torch.randn(4, 1, 6), torch.rand(4, 6)
    given = images.clone(), maps.clone()
    confidence_change(model, images, maps)
    assert torch.equal(images, given[0])
    assert torch.equal(maps, given[1])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_dtypes(dtype: torch.dtype) -> None:
    model, images, maps = _classifier(1, (6,)), torch.randn(3, 1, 6).double(), torch.rand(3, 6)
    exact = confidence_change(model, images, maps)
    found = confidence_change(model.to(dtype), images.to(dtype), maps)
    # a few roundings of the inputs and weights
    assert torch.allclose(found.masked, exact.masked, atol=20 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("mask", ["absolute", "top50"])
def test_maps_of_other_dtypes(mask: Any) -> None:
    model, images = _classifier(1, (6,)), torch.randn(3, 1, 6).double()
    wide = torch.tensor([-6e4, -2e4, -1e4, 1e4, 3e4, 6e4]).expand(3, 6)  # float16 has no number for the distance
    for maps in (wide.half(), wide.bfloat16(), wide.long(), wide > 0):
        found = confidence_change(model, images, maps, mask=mask)
        assert torch.equal(found.masked, confidence_change(model, images, maps.float(), mask=mask).masked)
        assert found.masked.isfinite().all()


def test_a_progress_bar_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    model, images, maps = _classifier(1, (6,)), torch.randn(3, 1, 6).double(), torch.rand(3, 6)
    confidence_change(model, images, maps)
    assert capsys.readouterr().err == ""
    confidence_change(model, images, maps, progress=True)
    assert "confidence: 100%" in capsys.readouterr().err


def test_what_does_not_fit_is_named() -> None:
    model, images, maps = _classifier(1, (6,)), torch.randn(3, 1, 6).double(), torch.rand(3, 6)
    cases: list[tuple[type[Exception], str, dict[str, Any]]] = [
        (ValueError, "mask must be one of absolute, top50, found 'top20'", {"mask": "top20"}),
        (ValueError, "scale must be one of minmax, positive, found 'max'", {"scale": "max"}),
        (ValueError, "baseline must be 'black', 'mean' or a tensor, found 'blur'", {"baseline": "blur"}),
        (ValueError, r"baseline \(5,\) must broadcast to the inputs, \(3, 1, 6\)", {"baseline": torch.ones(5)}),
        (TypeError, "preprocess must be a camfast.models.Preprocess or a function.*found int", {"preprocess": 255}),
        (ValueError, r"maps must be one map a sample.*\(3, 6\), found \(3, 2, 6\)", {"maps": torch.rand(3, 2, 6)}),
        (TypeError, r"maps must be a tensor \(3, 6\), found list", {"maps": [1]}),
        (TypeError, "inputs must be one tensor", {"inputs": (images,)}),
        (ValueError, "with at least one sample", {"inputs": images[:0]}),
        (TypeError, "inputs must hold real numbers, found torch.int64", {"inputs": images.long()}),
        (ValueError, "batch must be a whole number of at least 1, found 0", {"batch": 0}),
        (ValueError, r"classifier with the output \(N, C\)", {"output": lambda scores: scores[:, 0]}),
    ]
    for error, message, change in cases:
        with pytest.raises(error, match=message):
            confidence_change(**{"model": model, "inputs": images, "maps": maps, **change})


def test_training_mode_is_said() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(6, 3)).train()
    with pytest.warns(camfast.TrainingModeWarning, match=r"Dropout make.*model.eval\(\)") as caught:
        average_drop(model, torch.randn(2, 1, 6), torch.rand(2, 6))
    assert caught[0].filename == __file__
