"""Every method for every form of region, through U-Nets in two and three dimensions, against the oracle."""

from typing import Any

import pytest
import torch
from torch import Tensor

import camfast
from camfast import Region, component, models, predicted
from tests import oracle

METHODS = [name for name in camfast.methods() if name != "cam"]
SIZES = {2: (13, 10), 3: (7, 8, 6)}  # no multiples of what the pools divide by
# Behind ReLUs: the bottleneck, its way up, and the encoder's first block.
LAYERS = ("bottleneck", "decoder.0", "encoder.0")


def _network(rank: int) -> tuple[models.architectures.unet.UNet, Tensor]:
    torch.manual_seed(rank)
    model = models.unet(dimensions=rank, channels=2, classes=3, width=3, depth=2).double()
    return model, torch.randn(2, 2, *SIZES[rank], dtype=torch.float64)


def _regions(rank: int, scores: Tensor) -> list[Region]:
    """Each form of ``where``, for a class that has positions of its own in both samples."""
    size = SIZES[rank]
    most = int(scores.argmax(1).flatten().bincount(minlength=3).argmax())
    mask = torch.rand(2, *size) > 0.7
    return [
        Region(most, "image"), Region(most, "predicted"), Region(most, predicted(0.34)), Region(most, component(0)),
        Region(1, (2,) * rank), Region(1, (slice(1, 4),) * rank), Region(2, mask[0]), Region(2, mask),
        Region(0, mask[0].numpy()),
    ]  # fmt: skip


def _sum(region: Region) -> Any:
    """The same region as a function that multiplies by its mask."""
    return lambda scores: (scores[:, region.class_index] * region.mask(scores)).flatten(1).sum(1)


@pytest.mark.filterwarnings("ignore::camfast.IllConditionedWarning")  # one channel in some hundred cancels by chance
@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_and_form(rank: int, method: str) -> None:
    model, x = _network(rank)
    scores = model(x).detach()
    regions = _regions(rank, scores)
    explainer = camfast.Explainer(model, "decoder.0", method, relu=False, size="grid")
    several = explainer(x, regions)
    assert several.grid.shape[:2] == (2, len(regions))
    assert several.targets == tuple(regions)
    for column, region in enumerate(regions):
        expected = oracle.grid(model, x, "decoder.0", _sum(region), method)
        # gradcam++ may stand near a pole, which takes digits
        tolerance = 1e-6 if method == "gradcam++" else 1e-9
        assert oracle.relative_error(several.grid[:, column], expected) < tolerance
        alone = explainer(x, region)
        assert oracle.relative_error(alone.grid, expected) < tolerance
        assert alone.targets is region
        y = _sum(region)(scores)
        assert torch.allclose(several.residual[:, column], y - expected.flatten(1).sum(1), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("rank", [2, 3])
def test_several_regions_take_one_forward(rank: int) -> None:
    model, x = _network(rank)
    regions = _regions(rank, model(x).detach())
    runs: list[int] = []
    handle = model.register_forward_hook(lambda *_: runs.append(1))
    camfast.cam(model, x, "bottleneck", regions, method="hirescam")
    handle.remove()
    assert len(runs) == 1


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("method", ["gradcam", "hirescam", "eigengradcam"])
def test_several_depths_of_other_grids_in_one_pass(rank: int, method: str) -> None:
    model, x = _network(rank)
    region = Region(1, (slice(1, 5),) * rank)
    together = camfast.Explainer(model, LAYERS, method, relu=False)(x, [region, Region(0, "image")])
    for layer in LAYERS:
        alone = camfast.Explainer(model, layer, method, relu=False)(x, region)
        assert oracle.relative_error(together.maps[layer][:, 0], alone.maps) < 1e-9
        assert oracle.relative_error(together.residual[layer][:, 0], alone.residual) < 1e-9
    assert together.grid["bottleneck"].shape[2:] != together.grid["encoder.0"].shape[2:]
    stacked = torch.stack([together.maps[layer] for layer in LAYERS])
    for fuse, expected in (("mean", stacked.mean(0)), ("max", stacked.amax(0))):
        fused = camfast.Explainer(model, LAYERS, method, relu=False, fuse=fuse)(x, [region, Region(0, "image")])  # type: ignore[arg-type]
        assert oracle.relative_error(fused.maps, expected) < 1e-12


def test_a_batch_equals_its_samples() -> None:
    model, x = _network(2)
    for where in ("image", "predicted", component(0)):
        most = int(model(x).argmax(1).flatten().bincount(minlength=3).argmax())
        for method in METHODS:
            together = camfast.cam(model, x, "decoder.1", Region(most, where), method=method, size="grid")
            alone = [
                camfast.cam(model, one[None], "decoder.1", Region(most, where), method=method, size="grid") for one in x
            ]
            assert oracle.relative_error(together, torch.cat(alone)) < 1e-9
