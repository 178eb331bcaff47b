"""A sweep over layers against an explanation of each layer alone, and regions against sums over cells."""

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast import Region, models
from camfast.depths import depths
from tests import oracle

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
SIZES = {1: (29,), 2: (16, 23), 3: (12, 9, 16)}
LAYERS = ["1", "2", "4", "5", "7"]


def _trunk(rank: int) -> list[nn.Module]:
    conv, pool = CONVOLUTIONS[rank], POOLS[rank]
    return [
        conv(2, 4, 3, padding=1), nn.ReLU(), pool(2),
        conv(4, 6, 3, padding=1), nn.ReLU(inplace=True), pool(2),
        conv(6, 6, 3, padding=1), nn.ReLU(),
    ]  # fmt: skip


def _classifier(rank: int) -> nn.Sequential:
    cells = [extent // 4 for extent in SIZES[rank]]
    return nn.Sequential(*_trunk(rank), nn.Flatten(), nn.Linear(6 * torch.Size(cells).numel(), 5))


def _segmenter(rank: int) -> nn.Sequential:
    return nn.Sequential(*_trunk(rank), nn.Upsample(size=SIZES[rank]), CONVOLUTIONS[rank](6, 3, 3, padding=1))


def _inputs(rank: int, samples: int = 3) -> Tensor:
    return torch.randn(samples, 2, *SIZES[rank])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("method", ["gradcam", "hirescam", "layercam"])
def test_a_classifier_s_layers_are_what_each_is_alone(method: str, rank: int) -> None:
    model, inputs = _classifier(rank), _inputs(rank)
    sweep = camfast.layer_sweep(model, inputs, LAYERS, 2, method=method)
    assert [layer.name for layer in sweep.layers] == LAYERS
    assert sweep.method == method
    assert not sweep.failures
    assert torch.allclose(sweep.scores, model(inputs), atol=1e-6)
    for layer in sweep.layers:
        expected = oracle.grid(model, inputs, layer.name, 2, method).relu()
        y = copy.deepcopy(model).double()(inputs.double())[:, 2]
        assert layer.grid == tuple(expected.shape[1:])
        assert layer.pixels == tuple(a / b for a, b in zip(SIZES[rank], layer.grid, strict=True))
        assert torch.allclose(layer.maps.double(), expected, atol=1e-6)  # float32 beside float64
        assert torch.allclose(layer.total.double(), expected.flatten(1).sum(1), atol=1e-4)
        assert torch.allclose(layer.residual.double(), y - expected.flatten(1).sum(1), atol=1e-4)
        assert layer.empty.tolist() == (expected == 0).flatten(1).all(1).tolist()
        assert layer.cells is None
        assert layer.inside is None


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("where", ["predicted", "image", "point", "box"])
def test_a_segmenter_s_layers_are_what_each_is_alone(where: str, rank: int) -> None:
    model, inputs = _segmenter(rank).double(), _inputs(rank).double()
    box = tuple(slice(2 + axis, 9 - axis) for axis in range(rank))
    most = int(model(inputs).argmax(1).flatten().mode().values)  # a class that is predicted somewhere
    region = Region(most, {"point": (3,) * rank, "box": box}.get(where, where))
    sweep = camfast.layer_sweep(model, inputs, LAYERS, region, method="hirescam", relu=False)
    mask = region.mask(model(inputs).detach())
    for layer in sweep.layers:
        alone = camfast.Explainer(model, layer.name, "hirescam", relu=False, size="grid")(inputs, region)
        assert torch.allclose(layer.maps, alone.grid, atol=1e-12)
        assert torch.allclose(layer.residual, alone.residual, atol=1e-10)
        assert torch.equal(layer.empty, alone.empty)
        assert layer.cells is not None
        assert layer.inside is not None
        for sample in range(2):
            cells, inside = _by_cells(mask[sample], layer.maps[sample].abs())
            assert float(layer.cells[sample]) == pytest.approx(cells, rel=1e-6)
            # the parts of cells are float32
            assert float(layer.inside[sample]) == pytest.approx(inside, rel=1e-5, nan_ok=True)


def _by_cells(mask: Tensor, heat: Tensor) -> tuple[float, float]:
    """How many cells a mask comes to, and the part of the heat inside, cell by cell and position by position."""
    covered = torch.zeros_like(heat)
    ratios = [extent / cells for extent, cells in zip(mask.shape, heat.shape, strict=True)]
    for place in mask.nonzero().tolist():
        near = [range(int(x / ratio), math.ceil((x + 1) / ratio)) for x, ratio in zip(place, ratios, strict=True)]
        for cell in itertools.product(*near):
            part = 1.0
            for x, i, ratio in zip(place, cell, ratios, strict=True):
                part *= max(0.0, min(x + 1, (i + 1) * ratio) - max(x, i * ratio)) / ratio
            covered[cell] += part
    total = float(heat.sum())
    return float(covered.sum()), float((heat * covered).sum()) / total if total else float("nan")


class _Counted(torch.autograd.Function):
    runs = 0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004 (torch's signature)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]  # noqa: ARG004 (torch's signature)
        _Counted.runs += 1
        return gradient


class _Counting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _Counted.apply(x)


def test_all_layers_come_from_one_forward_and_one_backward() -> None:
    model, inputs, forwards = nn.Sequential(*_classifier(2), _Counting()), _inputs(2), []
    for layers, expected in ((LAYERS, 1), (None, 2)):  # without names, a pass without a graph looks for the layers
        forwards.clear()
        _Counted.runs = 0
        with model.register_forward_pre_hook(lambda *_: forwards.append(torch.is_grad_enabled())):
            camfast.layer_sweep(model, inputs, layers, 1)
        assert (len(forwards), _Counted.runs) == (expected, 1)


def test_batches_are_what_their_samples_are() -> None:
    model, inputs = _segmenter(2), _inputs(2)
    region = Region(0, torch.rand(3, *SIZES[2]) > 0.7)
    whole = camfast.layer_sweep(model, inputs, LAYERS, region)
    for sample in range(3):
        alone = camfast.layer_sweep(model, inputs[sample : sample + 1], LAYERS, Region(0, region.where[sample]))
        for one, other in zip(whole.layers, alone.layers, strict=True):
            for field in ("maps", "total", "residual", "cells", "inside"):
                found, expected = getattr(one, field)[sample], getattr(other, field)[0]
                assert torch.allclose(found, expected, atol=1e-5, equal_nan=True), field  # sums in another order


def test_the_depths_of_networks_that_are_known() -> None:
    squeezenet = models.squeezenet1_0().eval()
    fires = ["fire2", "fire3", "fire4", "pool4", "fire5", "fire6", "fire7", "fire8", "pool8", "dropout9", "relu10"]
    assert depths(squeezenet, torch.rand(1, 3, 96, 96), 2) == ["relu1", "pool1", *fires]
    blocks = [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in range(3)]
    assert depths(models.resnet20().eval(), torch.rand(1, 3, 32, 32), 2) == ["bn1", *blocks]
    within = ["avgpool", "relu1", "relu2", "maxpool1", "relu3", "relu4", "maxpool2"]
    assert depths(models.cnn2(3).eval(), torch.rand(1, 1, 40, 40, 40), 3) == within
    meshnet = models.meshnet().eval()  # its last layer gives the output, and isn't swept
    assert depths(meshnet, torch.rand(1, 1, 9, 8, 7), 3) == [f"activation{depth}" for depth in range(1, 10)]

    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = models.cnn2(3), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.backbone(x))

    assert depths(Wrapped().eval(), torch.rand(1, 1, 40, 40, 40), 3) == [f"backbone.{name}" for name in within]


def test_where_a_grid_is_too_small_is_said() -> None:
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(conv.weight)
    last = nn.Conv2d(1, 2, 1, bias=False)
    with torch.no_grad():
        last.weight[:, 0, 0, 0] = torch.tensor([-1.0, 1.0])
    model = nn.Sequential(conv, nn.AvgPool2d(2), nn.AvgPool2d(2), nn.Upsample(scale_factor=4), nn.ReLU(), last)
    image = torch.ones(2, 1, 16, 16)
    box = Region(1, (slice(4, 6), slice(4, 8)))
    sweep = camfast.layer_sweep(model, image, target=box)
    assert [layer.name for layer in sweep.layers] == ["0", "1", "2", "4"]
    assert [layer.cells.tolist() for layer in sweep.layers if layer.cells is not None] == [
        [8] * 2,
        [2] * 2,
        [0.5] * 2,
        [8] * 2,
    ]
    # a constant image: the map is spread over it evenly, and the region holds its own part of the area
    for layer in sweep.layers:
        assert layer.inside is not None
        assert layer.inside.tolist() == pytest.approx([8 / 256] * 2)
    assert sweep.too_small == ("2",)
    assert sweep.first_empty is None
    assert sweep.deepest_useful == "4"
    assert camfast.layer_sweep(model, image, ["0", "1", "2"], box).deepest_useful == "1"
    against = camfast.layer_sweep(model, image, ["0", "1"], Region(0, "image"))  # all evidence speaks against class 0
    assert against.first_empty == "0"
    assert against.deepest_useful is None
    assert all(
        layer.empty.all() and layer.inside is not None and layer.inside.isnan().all() for layer in against.layers
    )
    assert "100 %" in str(against)
    assert "nan" in str(against)


def test_it_prints_a_table() -> None:
    model = nn.Sequential(*_trunk(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    text = str(camfast.layer_sweep(model, _inputs(2), ["1", "5", "9"], 1)).splitlines()
    assert text[0].split() == ["layer", "grid", "pixels", "a", "cell", "Σ|L|", "empty", "y", "−", "ΣL"]
    assert text[1].startswith("1      16 × 23  1 × 1")
    assert text[2].startswith("5      4 × 5    4 × 4.6")
    assert text[3].startswith("9: the activation of layer '9' has the shape (3, 6)")
    regions = str(camfast.layer_sweep(_segmenter(2), _inputs(2), ["5"], Region(1, (slice(8), slice(8)))))
    assert regions.splitlines()[0].endswith("cells  inside")


def test_a_region_of_an_output_with_fewer_axes_than_the_layer() -> None:
    class Projected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.volume, self.plane = nn.Conv3d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.plane(self.volume(x).relu().mean(2))

    region = Region(1, (slice(3), slice(2)))
    sweep = camfast.layer_sweep(Projected(), torch.rand(2, 1, 4, 6, 6), ["volume", "plane"], region)
    assert sweep["volume"].cells is None
    assert sweep["volume"].inside is None
    assert sweep["plane"].cells is not None
    assert sweep["plane"].cells.tolist() == [6, 6]
    title, volume, plane = str(sweep).splitlines()
    assert plane.split()[-2] == "6"
    assert title.index("cells") == plane.rindex("6 ")
    assert len(volume) < title.index("cells")


class Branches(nn.Module):
    """A layer that the first class doesn't depend on, and one that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.one, self.other = (nn.Conv2d(2, 2, 3) for _ in range(3))
        self.spare = nn.ReLU()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.trunk(x)
        one, other = self.one(x), self.other(x)
        return {"scores": torch.stack([one.mean((1, 2, 3)), other.mean((1, 2, 3))], 1)}


def test_layers_that_cannot_be_explained_are_reported() -> None:
    model, inputs = Branches(), _inputs(2)
    sweep = camfast.layer_sweep(
        model,
        inputs,
        ["trunk", "one", "other", "spare"],
        lambda scores: scores[:, :1].sum(1),
        output=lambda o: o["scores"],
    )
    explained = {layer.name for layer in sweep.layers}
    assert {"trunk", "one"} <= explained
    assert explained | set(sweep.failures) == {"trunk", "one", "other", "spare"}
    assert "never reached" in sweep.failures["spare"]
    alone = camfast.cam(model, inputs, "one", 0, size="grid", output=lambda o: o["scores"])
    assert torch.allclose(sweep["one"].maps, alone)
    with pytest.raises(KeyError, match="never reached"):
        sweep["spare"]
    with pytest.raises(KeyError, match="the sweep has trunk"):
        sweep["fire9"]


class _Dict(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"scores": self.model(x)}


def test_errors_say_what_was_found() -> None:
    model, inputs = _classifier(2), _inputs(2)
    with pytest.raises(ValueError, match="the model has no layer '77'"):
        camfast.layer_sweep(model, inputs, ["1", "77"])
    with pytest.raises(TypeError, match="layers must be a list of names or modules"):
        camfast.layer_sweep(model, inputs, "1")
    for target in (1, camfast.Region(1)):
        with pytest.raises(TypeError, match=r"layers must be a list of names or modules, found .*: a target goes by"):
            camfast.layer_sweep(model, inputs, target)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one target a sample"):
        camfast.layer_sweep(model, inputs, ["1"], [0, 1])
    with pytest.raises(ValueError, match="target=9 is out of range"):
        camfast.layer_sweep(model, inputs, ["1", "2"], 9)
    with pytest.raises(ValueError, match="method must be one of"):
        camfast.layer_sweep(model, inputs, ["1"], method="gradcamm")
    with pytest.raises(ValueError, match="no layer of the model gives a grid of 2 spatial axes"):
        camfast.layer_sweep(nn.Sequential(nn.Flatten(), nn.Linear(736, 2)), inputs)
    with pytest.raises(TypeError, match=r"inputs must hold a tensor .* found \[\(3, 4\)\]"):
        camfast.layer_sweep(model, torch.rand(3, 4), ["1"])
    with pytest.raises(TypeError, match=r"inputs must hold a tensor .* found ndarray"):
        camfast.layer_sweep(model, inputs.numpy())
    with pytest.raises(camfast.CaptureError, match=r"the model returned dict, not a tensor: pass output="):
        camfast.layer_sweep(_Dict(model), inputs)
    assert not any(module._forward_hooks for module in model.modules())


def test_the_model_is_left_as_it_was() -> None:
    model, inputs = _classifier(3), _inputs(3)
    kept, state = inputs.clone(), copy.deepcopy(model.state_dict())
    with torch.inference_mode():
        sweep = camfast.layer_sweep(model, inputs)
    assert not any(layer.maps.requires_grad for layer in sweep.layers)
    assert torch.equal(inputs, kept)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
