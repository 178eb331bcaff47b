"""Occlusion against loops over windows and pixels, in float64."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast

CASES = [
    ((7,), 3, 2),
    ((1,), 1, 1),
    ((6, 5), (3, 2), (2, 2)),
    ((7, 4), (7, 1), 1),
    ((4, 5, 3), 2, None),
]


def _classifier(channels: int, shape: tuple[int, ...], classes: int = 4) -> nn.Sequential:
    pixels = channels * math.prod(shape)
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 9), nn.Tanh(), nn.Linear(9, classes))
    return model.double().eval().requires_grad_(False)


def _loop(model: nn.Module, image: Tensor, c: int, window: Any, stride: Any, fill: Tensor) -> Tensor:
    shape = image.shape[1:]
    sizes = [window] * len(shape) if isinstance(window, int) else window
    steps = [(s + 1) // 2 for s in sizes] if stride is None else stride
    steps = [steps] * len(shape) if isinstance(steps, int) else steps
    starts = []
    for extent, size, step in zip(shape, sizes, steps, strict=True):
        along = list(range(0, extent - size + 1, step))
        starts.append(along if along[-1] == extent - size else [*along, extent - size])
    total, count = torch.zeros(shape).double(), torch.zeros(shape)
    for corner in itertools.product(*starts):
        box = tuple(slice(a, a + size) for a, size in zip(corner, sizes, strict=True))
        changed = image.clone()
        changed[(slice(None), *box)] = fill.expand_as(image)[(slice(None), *box)]
        total[box] += float(model(image[None])[0, c] - model(changed[None])[0, c])
        count[box] += 1
    return total / count


@pytest.mark.parametrize(("shape", "window", "stride"), CASES, ids=str)
def test_drops_are_what_a_loop_finds(shape: tuple[int, ...], window: Any, stride: Any) -> None:
    model, images = _classifier(2, shape), torch.randn(3, 2, *shape).double()
    heat = camfast.occlusion(model, images, window=window, stride=stride, baseline="mean", batch=4)
    for n in range(3):
        mean = images[n].flatten(1).mean(1).reshape(2, *(1,) * len(shape))
        expected = _loop(model, images[n], int(model(images)[n].argmax()), window, stride, mean)
        assert torch.allclose(heat[n], expected, atol=1e-12)
    alone = camfast.occlusion(model, images[1:2], window=window, stride=stride, baseline="mean")
    assert torch.allclose(alone[0], heat[1], atol=1e-12)


def test_targets_of_all_forms() -> None:
    model, images = _classifier(1, (6,)), torch.randn(3, 1, 6).double()
    everything = camfast.occlusion(model, images, "all", window=2)
    assert everything.shape == (3, 4, 6)
    classes = torch.tensor([3, 0, 2])
    one_each = camfast.occlusion(model, images, classes, window=2)
    assert torch.allclose(one_each, everything[torch.arange(3), classes], atol=1e-12)
    some = camfast.occlusion(model, images, [2, 0], window=2)
    assert torch.allclose(some, everything[:, [2, 0]], atol=1e-12)
    own = camfast.occlusion(model, images, lambda scores: scores[:, 1] - scores[:, 3], window=2)
    assert torch.allclose(own, everything[:, 1] - everything[:, 3], atol=1e-12)
    unit = camfast.occlusion(model, images, camfast.Unit("3", 1), window=2)
    assert torch.allclose(unit, everything[:, 1], atol=1e-12)


def test_regions_stay_where_they_were() -> None:
    model = nn.Conv2d(1, 3, 3, padding=1).double().requires_grad_(False)
    images = torch.randn(2, 1, 6, 5).double()
    regions = [camfast.Region(1, "image"), camfast.Region(1, "predicted"), camfast.Region(2, (3, 3))]
    heat = camfast.occlusion(model, images, regions, window=2, stride=1)
    masks = [torch.ones(2, 6, 5).bool(), model(images).argmax(1) == 1, torch.zeros(2, 6, 5).bool()]
    masks[2][:, 3, 3] = True
    for t, (region, mask) in enumerate(zip(regions, masks, strict=True)):
        fixed = camfast.Region(region.class_index, mask)
        assert torch.allclose(camfast.occlusion(model, images, fixed, window=2, stride=1), heat[:, t], atol=1e-12)
    far = heat[:, 2].clone()
    far[:, 1:, 1:] = 0  # windows that touch the 3 × 3 neighbourhood of the point reach one further at most
    assert far.abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_dtypes_and_modes(dtype: torch.dtype) -> None:
    model, images = _classifier(1, (6,)), torch.randn(2, 1, 6).double()
    exact = camfast.occlusion(model, images, 0, window=2)
    with torch.inference_mode():
        heat = camfast.occlusion(model.to(dtype), images.to(dtype), 0, window=2)
    assert heat.dtype == torch.float32
    # a few roundings of inputs, weights and scores of about 1
    assert torch.allclose(heat.double(), exact, atol=10 * torch.finfo(dtype).eps)


def test_what_does_not_fit_is_named() -> None:
    model, images = _classifier(1, (6,)), torch.randn(2, 1, 6).double()
    with pytest.raises(ValueError, match=r"window must be a whole number from 1 to \(6,\), or 1, .*; found 7"):
        camfast.occlusion(model, images, window=7)
    with pytest.raises(ValueError, match=r"stride must be .* from 1 to \(2,\).*; found 3"):
        camfast.occlusion(model, images, window=2, stride=3)
    for window in ((2, 2), 2.5, True, (), "2"):
        with pytest.raises(ValueError, match=r"window must be .*; found"):
            camfast.occlusion(model, images, window=window)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="target=4 is out of range"):
        camfast.occlusion(model, images, 4, window=2)
    with pytest.raises(TypeError, match="inputs must be one tensor"):
        camfast.occlusion(model, {"x": images}, window=2)  # type: ignore[arg-type]


def test_the_model_and_the_images_stay_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(6, 3)).eval()
    images = torch.randn(4, 1, 6)
    given = images.clone()
    camfast.occlusion(model, images, camfast.Unit("0", (0, 1)), window=1, progress=True)
    assert torch.equal(images, given)
    assert all(not module._forward_hooks for module in model.modules())
    assert "occlusion: 100%" in capsys.readouterr().err
