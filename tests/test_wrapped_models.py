"""Models as people run them: wrapped, compiled, exported, in other memory formats and precisions, without gradients.

What is expected is the map of the plain model by a plain hook, combined and upsampled in float64.
"""

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import camfast
from tests import oracle

pytestmark = [
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),  # torch.export
]
CLASSES, CHANNELS, LAYER = 5, 4, "2"
METHODS = ("gradcam", "gradcam++", "xgradcam", "respond", "hirescam", "elementwise", "layercam")
SIGMA = 2.0
UPSAMPLINGS: dict[str, dict[str, Any]] = {
    "linear": {"upsample": "linear"},
    "gaussian": {"upsample": "gaussian", "sigma": SIGMA},
}
# sums in another order; no pixel here is as far from a cell as the kernels' Gaussians reach
EXACT = {torch.float64: 1e-12, torch.float32: 1e-5}


def _network(axes: int = 2, size: int = 8) -> nn.Sequential:
    """Convolutions to the layer "2", half the input's size, and a curved head, in float64."""
    convolution = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[axes]
    pooling = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}[axes]
    norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[axes]
    cells = CHANNELS * (size // 2) ** axes
    return nn.Sequential(
        convolution(3, CHANNELS, 3, padding=1), nn.ReLU(), pooling(2), convolution(CHANNELS, CHANNELS, 3, padding=1),
        norm(CHANNELS), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(cells, 8), nn.Tanh(), nn.Linear(8, CLASSES),
    ).double().eval()  # fmt: skip


def _inputs(axes: int = 2, size: int = 8, samples: int = 2) -> Tensor:
    return torch.randn(samples, 3, *[size] * axes, dtype=torch.float64)


def _upsampled(grid: Tensor, size: tuple[int, ...], upsample: str) -> Tensor:
    """A grid (N, *S) at a size by torch or by sums of Gaussians, one axis after the other."""
    if upsample == "linear":
        mode = ("linear", "bilinear", "trilinear")[len(size) - 1]
        return F.interpolate(grid[:, None], size, mode=mode)[:, 0]
    for axis, length in enumerate(size, start=1):
        cells = grid.shape[axis]
        step = length / cells
        away = torch.arange(length).double()[:, None] - (torch.arange(cells).double() * step + (step - 1) / 2)
        grid = torch.tensordot(grid, torch.exp(-(away**2) / (2 * SIGMA**2)), dims=([axis], [1])).movedim(-1, axis)
    return grid


def _expected(model: nn.Module, x: Tensor, target: int, method: str, upsample: str, layer: str = LAYER) -> Tensor:
    return _upsampled(oracle.grid(model, x, layer, target, method), tuple(x.shape[2:]), upsample)


def _compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


def _compiled_in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


def _compiled_for_autograd(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="aot_eager")


def _exported(model: nn.Module) -> nn.Module:
    return torch.export.unflatten(torch.export.export(model, (_inputs(),)))


def _all_at_once(model: nn.Module) -> nn.Module:
    return torch.compile(nn.DataParallel(_compiled(model.to(memory_format=torch.channels_last))), backend="eager")


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "parallel": nn.DataParallel,
    "compiled": _compiled,
    "compiled in place": _compiled_in_place,
    "compiled for autograd": _compiled_for_autograd,
    "exported": _exported,
    "all at once": _all_at_once,
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_every_method_on_a_wrapped_model(wrap: Callable[[nn.Module], nn.Module]) -> None:
    torch.compiler.reset()
    model, x = _network(), _inputs()
    wrapped = wrap(copy.deepcopy(model))
    with torch.no_grad():
        scores = wrapped(x)  # what is compiled is, without any hook
    for method in METHODS:
        for upsample, options in UPSAMPLINGS.items():
            explainer = camfast.Explainer(wrapped, LAYER, method, relu=False, **options)
            for result, maps in ((r := explainer(x, 1), r.maps), (r := explainer(x, "all"), r.maps[:, 1])):
                assert oracle.relative_error(maps, _expected(model, x, 1, method, upsample)) < EXACT[torch.float64]
                torch.testing.assert_close(result.scores, scores, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(wrapped(x), scores, rtol=1e-12, atol=1e-12)
    torch.compiler.reset()


def test_an_exported_module_that_runs_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 3, padding=1)
            self.head = nn.Linear(3, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(self.layer(x).relu()).tanh().mean((2, 3)))

    model, x = Twice().double().eval(), _inputs()
    unflattened = torch.export.unflatten(torch.export.export(model, (x,)))
    for call in (0, -1):
        found = camfast.cam(unflattened, x, "layer", 1, relu=False, size="grid", call=call)
        assert oracle.relative_error(found, oracle.grid(model, x, "layer", 1, call=call)) < 1e-12


FORMATS = {2: torch.channels_last, 3: torch.channels_last_3d}


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_channels_last(axes: int, whole: bool, dtype: torch.dtype) -> None:
    """The model and its input, or the input alone, whose layout the convolutions hand on."""
    model, x = _network(axes), _inputs(axes)
    last, other = copy.deepcopy(model).to(dtype), x.to(dtype).contiguous(memory_format=FORMATS[axes])
    if whole:
        last = last.to(memory_format=FORMATS[axes])
    layouts: list[bool] = []
    last[2].register_forward_hook(lambda *call: layouts.append(call[-1].is_contiguous(memory_format=FORMATS[axes])))
    for method in METHODS:
        for upsample, options in UPSAMPLINGS.items():
            for name in ("0", LAYER, "5"):
                explainer = camfast.Explainer(last, name, method, relu=False, **options)
                for maps in (explainer(other, 1).maps, explainer(other, [3, 1]).maps[:, 1]):
                    expected = _expected(model, x, 1, method, upsample, name)
                    # float32: a convolution's sums in another order, and gradcam++'s difference of large numbers
                    assert oracle.relative_error(maps, expected) < (1e-12 if dtype == torch.float64 else 1e-4), name
    if axes == 2 or dtype == torch.float32:  # torch has no other convolution of volumes in float64
        assert layouts.count(True) == len(layouts) > 0
    assert other.is_contiguous(memory_format=FORMATS[axes])
    assert all(
        weight.is_contiguous(memory_format=FORMATS[axes]) == whole for weight in last.parameters() if weight.ndim > 2
    )


@pytest.mark.parametrize("size", [2, 7])
def test_channels_last_of_odd_sizes(size: int) -> None:
    """Of one cell, where every layout is every other, and of three cells for seven pixels."""
    model, x = _network(2, size), _inputs(2, size, 3)
    found = camfast.cam(
        model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last), LAYER, 1,
        method="hirescam", relu=False, upsample="linear",
    )  # fmt: skip
    assert oracle.relative_error(found, _expected(model, x, 1, "hirescam", "linear")) < 1e-12


def _taken(model: nn.Module, x: Tensor, layer: str, target: int) -> tuple[Tensor, Tensor, Tensor]:
    """A, G and the scores in the precision that a model runs in, by a plain hook."""
    kept: list[Tensor] = []
    with torch.enable_grad(), model.get_submodule(layer).register_forward_hook(lambda *call: kept.append(call[-1])):
        scores = model(x)
        (G,) = torch.autograd.grad(scores[:, target].sum(), kept[0])
    return kept[0].detach().double(), G.double(), scores.detach()


def _precisions() -> dict[str, tuple[torch.dtype, Callable[[], Any]]]:
    """Weights, and the context around: what runs in sixteen bits."""
    plain = contextlib.nullcontext
    return {
        "bfloat16": (torch.bfloat16, plain),
        "float16": (torch.float16, plain),
        "autocast to bfloat16": (torch.float32, lambda: torch.autocast("cpu", torch.bfloat16)),
        "autocast of bfloat16": (torch.bfloat16, lambda: torch.autocast("cpu", torch.bfloat16)),
    }


@pytest.mark.parametrize(("dtype", "around"), _precisions().values(), ids=_precisions())
@pytest.mark.parametrize("channels_last", [True, False])
def test_sixteen_bits(dtype: torch.dtype, around: Callable[[], Any], channels_last: bool) -> None:
    """The kernels' part is as exact as in float32, and the whole as exact as sixteen bits allow."""
    exact, inputs = _network(), _inputs()
    model, x = copy.deepcopy(exact).to(dtype), inputs.to(dtype)
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    with around():
        A, G, scores = _taken(model, x, LAYER, 1)
        for method in METHODS:
            for upsample, options in UPSAMPLINGS.items():
                result = camfast.Explainer(model, LAYER, method, relu=False, **options)(x, 1)
                assert result.maps.dtype == torch.float32
                assert torch.equal(result.scores, scores)
                own = _upsampled(oracle.combine(A, G, method), (8, 8), upsample)
                assert oracle.relative_error(result.maps, own) < EXACT[torch.float32], method
                # eight bits of mantissa, three layers of the head, and gradients that cancel in their mean
                assert oracle.relative_error(result.maps, _expected(exact, inputs, 1, method, upsample)) < 0.2, method
    assert model[0].weight.dtype == dtype


@pytest.mark.parametrize("around", [torch.inference_mode, torch.no_grad, contextlib.nullcontext])
@pytest.mark.parametrize("upsample", UPSAMPLINGS)
def test_inference_tensors(around: Callable[[], Any], upsample: str) -> None:
    model = _network()
    with torch.inference_mode():
        x = _inputs()
    assert x.is_inference()
    for method in METHODS:
        expected = _expected(model, x.clone(), 1, method, upsample)
        explainer = camfast.Explainer(model, LAYER, method, relu=False, **UPSAMPLINGS[upsample])
        with around():
            single, many = explainer(x, 1), explainer(x, "all")
            out = torch.full((2, 8, 8), torch.nan, dtype=torch.float64)
            explainer(x, 1, out=out)
        for maps in (single.maps, many.maps[:, 1], out):
            assert oracle.relative_error(maps, expected) < EXACT[torch.float64]
        weight = torch.ones((), dtype=torch.float64, requires_grad=True)
        (single.maps * weight).sum().backward()  # ordinary tensors, which may stand in a loss
        torch.testing.assert_close(weight.grad, single.maps.sum())


@pytest.mark.parametrize("upsample", UPSAMPLINGS)
def test_all_of_it_together(upsample: str) -> None:
    """A compiled, wrapped model in channels_last under autocast, with an inference tensor, inside inference_mode."""
    torch.compiler.reset()
    model = _network().float()
    wrapped = _all_at_once(copy.deepcopy(model))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        x = _inputs().float()
        wrapped(x)
        found = camfast.cam(wrapped, x, LAYER, 1, method="respond", relu=False, **UPSAMPLINGS[upsample])
    with torch.autocast("cpu", torch.bfloat16):
        A, G, _ = _taken(model.to(memory_format=torch.channels_last), x.clone(), LAYER, 1)
    own = _upsampled(oracle.combine(A, G, "respond"), (8, 8), upsample)
    assert oracle.relative_error(found, own) < EXACT[torch.float32]
    torch.compiler.reset()
