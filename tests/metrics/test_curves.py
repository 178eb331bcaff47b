"""Insertion and deletion against a loop over steps, images and pixels."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast.metrics import deletion, insertion

SHAPES = [(7,), (5, 4), (3, 2, 5), (1,)]


def _classifier(channels: int, shape: tuple[int, ...], classes: int = 4) -> nn.Sequential:
    pixels = channels * math.prod(shape)
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 9), nn.Tanh(), nn.Linear(9, classes)).double().eval()


def _loop(model: nn.Module, image: Tensor, heat: Tensor, other: Tensor, steps: int, kind: str) -> list[float]:
    top = int(model(image[None]).argmax())
    P = heat.numel()
    largest_first = sorted(range(P), key=lambda p: -float(heat.flatten()[p]))
    curve = []
    for i in range(steps + 1):
        taken = largest_first[: round(P * i / steps)]
        changed = (image if kind == "deletion" else other).flatten(1).clone()
        for p in taken:
            changed[:, p] = (other if kind == "deletion" else image).flatten(1)[:, p]
        curve.append(model(changed.reshape(image.shape)[None]).softmax(1)[0, top].item())
    return curve


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["insertion", "deletion"])
def test_curves_are_what_a_loop_finds(shape: tuple[int, ...], kind: str) -> None:
    model, images, maps = _classifier(2, shape), torch.randn(3, 2, *shape).double(), torch.randn(3, *shape).double()
    steps = min(4, math.prod(shape))
    function = insertion if kind == "insertion" else deletion
    found = function(model, images, maps, baseline="mean", steps=4, batch=5)
    for n in range(3):
        other = images[n].flatten(1).mean(1).reshape(2, *(1,) * len(shape)).expand(2, *shape)
        expected = _loop(model, images[n], maps[n], other, steps, kind)
        assert torch.allclose(found.scores[n], torch.tensor(expected, dtype=torch.float64), atol=1e-12)
        parts = [round(math.prod(shape) * i / steps) / math.prod(shape) for i in range(steps + 1)]
        area = sum((b - a) * (p + q) / 2 for a, b, p, q in zip(parts, parts[1:], expected, expected[1:], strict=False))
        assert abs(float(found.auc[n]) - area) < 1e-12
    assert found.kind == kind
    assert f"{kind} AUC" in str(found)


def test_the_class_is_named_and_stays_that_of_the_unchanged_image() -> None:
    model, images, maps = _classifier(1, (6,)), torch.randn(8, 1, 6).double(), torch.rand(8, 6)
    found = deletion(model, images, maps, steps=6)
    assert torch.equal(found.targets, model(images).argmax(1))
    assert "classes, 6 steps, baseline zero" in str(found)
    one = deletion(model, images, maps, 2, steps=6)
    assert "probability of class 2" in str(one)
    assert torch.allclose(one.scores[:, 0], model(images).softmax(1)[:, 2], atol=1e-12)
    raw = deletion(model, images, maps, torch.full((8,), 2), steps=6, softmax=False)
    assert torch.allclose(raw.scores[:, 0], model(images)[:, 2], atol=1e-12)
    assert "score of class 2" in str(raw)


def test_a_good_map_is_told_from_a_bad_one() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2, bias=False))
    nn.init.zeros_(model[1].weight).data[0, :4] = 2  # type: ignore[union-attr]
    images = torch.rand(5, 1, 16) + 0.5
    good = torch.arange(16, 0, -1.0).expand(5, 16)
    for function, sign in ((insertion, 1), (deletion, -1)):
        better = function(model, images, good, 0, baseline="zero", steps=16).auc
        worse = function(model, images, -good, 0, baseline="zero", steps=16).auc
        assert ((better - worse) * sign > 0.1).all()


def test_blur_keeps_what_is_even_and_the_ends_are_the_images() -> None:
    model, image = _classifier(2, (9, 8)), torch.randn(2, 2, 9, 8).double()
    found = insertion(model, image, torch.rand(2, 9, 8), steps=3)
    assert torch.allclose(found.scores[:, -1], model(image).softmax(1).amax(1), atol=1e-12)
    assert (found.scores[:, 0] - found.scores[:, -1]).abs().min() > 1e-6
    even = torch.full((1, 2, 9, 8), 3.0).double()
    flat = insertion(model, even, torch.rand(1, 9, 8), steps=3).scores
    assert torch.allclose(flat, flat[:, :1].expand_as(flat), atol=1e-9)


def test_a_batch_equals_single_samples_and_ties_fall_alike() -> None:
    model, images = _classifier(1, (30,)), torch.randn(4, 1, 30).double()
    maps = torch.randint(0, 3, (4, 30)).float()
    whole = deletion(model, images, maps, steps=7, seed=4)
    for n in range(4):
        alone = deletion(model, images[n : n + 1], maps[n : n + 1], steps=7, seed=4, batch=3)
        assert torch.allclose(alone.scores[0], whole.scores[n], atol=1e-12)
    assert not torch.allclose(deletion(model, images, maps, steps=7, seed=5).scores, whole.scores, atol=1e-9)


def test_nan_stays_with_its_sample() -> None:
    model, images, maps = _classifier(1, (6,)), torch.randn(3, 1, 6).double(), torch.rand(3, 6)
    maps[1, 2] = torch.nan
    assert deletion(model, images, maps).auc.isnan().tolist() == [False, True, False]


def test_regions_functions_units_and_single_scores() -> None:
    segmenter = nn.Conv2d(1, 3, 3, padding=1).double()
    image, heat = torch.randn(2, 1, 6, 5).double(), torch.rand(2, 6, 5)
    region = camfast.Region(1, "predicted")
    found = deletion(segmenter, image, heat, region, steps=5, softmax=False)
    mask = segmenter(image).argmax(1) == 1
    after = segmenter(torch.zeros_like(image))[:, 1].where(mask, 0).sum((1, 2))  # the mask of the unchanged image
    assert torch.allclose(found.scores[:, -1], after, atol=1e-12)
    assert "the region of class 1" in str(found)
    regression = nn.Sequential(nn.Flatten(), nn.Linear(30, 1), nn.Flatten(0)).double()
    single = deletion(regression, image, heat, softmax=False, steps=3)
    assert torch.allclose(single.scores[:, 0], regression(image), atol=1e-12)
    own = deletion(regression, image, heat, lambda scores: (scores > 0).float(), softmax=False, steps=3)
    assert torch.equal(own.scores[:, 0], (regression(image) > 0).double())
    with pytest.raises(ValueError, match="no classes to take the softmax over: pass softmax=False"):
        deletion(regression, image, heat)
    unit = deletion(segmenter, image, heat, camfast.Unit("", (2, 1, 1)), steps=3)
    assert torch.allclose(unit.scores[:, 0], segmenter(image)[:, 2, 1, 1], atol=1e-12)
    assert "score of unit (2, 1, 1) of layer ''" in str(unit)


def test_what_does_not_fit_is_named() -> None:
    model, images, maps = _classifier(1, (6,)), torch.randn(3, 1, 6).double(), torch.rand(3, 6)
    cases: list[tuple[str, dict[str, Any]]] = [
        ("steps must be a whole number of at least 1, found 0", {"steps": 0}),
        ("baseline must be 'zero', 'mean', 'blur', a number or a tensor, found 'black'", {"baseline": "black"}),
        (r"baseline tensor must broadcast to the inputs \(3, 1, 6\), found \(5,\)", {"baseline": torch.ones(5)}),
        ("gives several scalars a sample, and a map is of one", {"target": "all"}),
        ("target=9 is out of range", {"target": 9}),
    ]
    for message, change in cases:
        with pytest.raises(ValueError, match=message):
            deletion(model, images, maps, **change)
