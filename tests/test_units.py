"""Units of other layers as targets, captured in the same pass."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from camfast import Unit
from tests import oracle
from tests.capture.networks import Apply, Block, Wired, images, sequential

SIGNED: dict[str, Any] = {"relu": False, "size": "grid"}


def _network(rank: int) -> nn.Sequential:
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    return nn.Sequential(
        convolution(2, 4, 3, padding=1), nn.Softplus(), convolution(4, 5, 3, stride=2), nn.Tanh(),
        nn.Flatten(), nn.LazyLinear(7), nn.Tanh(), nn.Linear(7, 3),
    )  # fmt: skip


def _expected(model: nn.Sequential, x: Tensor, layer: str, unit: str, index: Any, method: str) -> tuple[Tensor, Tensor]:
    """The oracle's map of a model that ends at the unit's layer, and the unit."""
    part = model[: int(unit) + 1]
    places = index if isinstance(index, tuple) else (index,)

    def value(output: Tensor) -> Tensor:
        return output[(slice(None), *places)]

    return oracle.grid(part, x, layer, value, method), value(part(x)).detach()


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("method", ["gradcam", "respond", "hirescam", "eigengradcam", "gradcam++"])
def test_units_of_features_and_of_feature_maps(rank: int, method: str) -> None:
    model = _network(rank).double()
    x = torch.randn(3, 2, *(9, 7, 5)[:rank], dtype=torch.float64)
    model(x)
    explainer = camfast.Explainer(model, "1", method, **SIGNED)
    place = (3, *(1,) * rank)
    for unit, index in (("2", place), ("3", place), ("5", 6), ("6", 0), ("7", 2), ("7", (2,))):
        grid, y = _expected(model, x, "1", unit, index, method)
        result = explainer(x, Unit(unit, index))
        assert oracle.relative_error(result.grid, grid) < 1e-9
        assert oracle.relative_error(result.residual, y - grid.flatten(1).sum(1)) < 1e-9
        assert torch.equal(result.scores, model(x).detach())
        assert result.targets == Unit(unit, index)
    several = explainer(x, [Unit("5", 1), Unit(model[2], place), Unit("5", 1)])
    assert several.grid.shape[:2] == (3, 3)
    for column, (unit, index) in enumerate((("5", 1), ("2", place), ("5", 1))):
        grid, y = _expected(model, x, "1", unit, index, method)
        assert oracle.relative_error(several.grid[:, column], grid) < 1e-9
        assert oracle.relative_error(several.residual[:, column], y - grid.flatten(1).sum(1)) < 1e-9
    assert several.targets == (Unit("5", 1), Unit("2", place), Unit("5", 1))


def test_a_unit_of_the_explained_layer_itself() -> None:
    model, x = sequential(), images()
    result = camfast.Explainer(model, "1", "hirescam", **SIGNED)(x, Unit("1", (2, 3, 4)))
    expected = torch.zeros(2, 8, 8, dtype=torch.float64)
    expected[:, 3, 4] = model[1](model[0](x))[:, 2, 3, 4].detach()
    assert torch.equal(result.grid, expected)
    assert not result.residual.any()


def test_several_layers() -> None:
    model, x = _network(2).double(), torch.randn(2, 2, 9, 7, dtype=torch.float64)
    model(x)
    result = camfast.Explainer(model, ["1", "3"], "hirescam", **SIGNED)(x, Unit("5", 4))
    for layer in ("1", "3"):
        assert oracle.relative_error(result.grid[layer], _expected(model, x, layer, "5", 4, "hirescam")[0]) < 1e-9


def test_in_place_operations_and_blocks_that_switch_gradients_off() -> None:
    x = images()
    model = sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True))
    plain = sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
    plain.load_state_dict(model.state_dict())
    target = Unit("2", (1, 2, 3))  # what is seen is changed afterwards
    for _ in range(2):
        found = camfast.cam(model, x, "1", target, **SIGNED)
        assert oracle.relative_error(found, camfast.cam(plain, x, "1", target, **SIGNED)) < 1e-12

    def body(block: Block, x: Tensor) -> Tensor:
        with torch.no_grad():
            return block.layer(x)  # type: ignore[no-any-return]

    wired = Wired(lambda self, x: self.head(self.block(x)), block=Block(body)).double()
    grid = camfast.cam(wired, x, "block.layer", Unit("head.2", 3), **SIGNED)
    expected = oracle.grid(nn.Sequential(wired.block.layer, wired.head[:3]), x, "0", 3)
    assert oracle.relative_error(grid, expected) < 1e-9


def test_a_layer_that_runs_twice_gives_its_last_call() -> None:
    twice = nn.Linear(8, 8)
    model, x = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), twice, nn.Tanh(), twice).double(), torch.randn(2, 1, 6)
    x = x.double()
    found = camfast.cam(model, x, "0", Unit("2", 5), method="hirescam", **SIGNED)
    assert oracle.relative_error(found, oracle.grid(model, x, "0", 5, "hirescam")) < 1e-12


def test_the_model_is_left_alone() -> None:
    model, x = sequential(), images()
    camfast.cam(model, x, "1", Unit("2.1", 3))
    with pytest.raises(ValueError, match="out of range"):
        camfast.cam(model, x, "1", Unit("2.1", 8))
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("unit", "error", "message"),
    [
        (Unit("2.1", 8), ValueError, r"Unit\('2.1', 8\) is out of range: the layer returns \(2, 8\)"),
        (Unit("2.1", -1), ValueError, r"Unit\('2.1', -1\) is out of range"),
        (Unit("2.1", (1, 2)), ValueError, r"the layer returns \(2, 8\), whose units are named by an int"),
        (
            Unit("1", 3),
            ValueError,
            r"\(2, 4, 8, 8\), whose units are named by a tuple of 3 ints, \(channel, \*position",
        ),
        (Unit("1", (3, 8, 0)), ValueError, r"is out of range: the layer returns \(2, 4, 8, 8\)"),
        (Unit("2.1", 1.5), TypeError, r"index of a Unit must be an int or a tuple of ints, found 1.5"),  # type: ignore[arg-type]
        (Unit("2.1", True), TypeError, r"found True"),
        (Unit("2.7", 1), ValueError, r"the model has no layer '2.7'; did you mean"),
        (Unit(nn.ReLU(), 1), ValueError, r"layer is a ReLU that is not part of the model"),
        (Unit("0", (1, 2, 2)), ValueError, r"Unit\('0', \(1, 2, 2\)\) doesn't depend on the explained layer"),
        ([Unit("2.1", 1), 3], TypeError, r"must hold classes only, regions only or units only"),
        ([Unit("2.1", 1), camfast.Region(1)], TypeError, r"must hold classes only, regions only or units only"),
    ],
    ids=str,
)
def test_what_does_not_fit(unit: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        camfast.cam(sequential(), images(), "1", unit)


def test_layers_beside_or_never_reached() -> None:
    model, x = (
        Wired(lambda self, x: self.head(self.layer(x) + self.other(x)), other=nn.Conv2d(3, 4, 1)).double(),
        images(),
    )
    with pytest.raises(
        camfast.CaptureError, match=r"a unit of layer 'other' doesn't depend on layer 'layer', which runs"
    ):
        camfast.cam(model, x, "layer", Unit("other", (0, 1, 1)), create_graph=True)
    model.add_module("idle", Apply(torch.tanh))
    with pytest.raises(camfast.CaptureError, match="layer 'idle' was never reached"):
        camfast.cam(model, x, "layer", Unit("idle", 0))


def test_a_unit_of_the_explained_layer_in_another_call() -> None:
    """The unit is one of the last call, whichever call is explained."""
    model = Wired(lambda self, x: self.head(self.twice(self.twice(self.layer(x)).tanh())))
    model.twice = nn.Conv2d(4, 4, 3, padding=1).double()
    x = images()
    first = model.twice(model.layer(x)).detach().requires_grad_()
    unit = model.twice(first.tanh())[:, 2, 3, 3]
    (G,) = torch.autograd.grad(unit.sum(), first)
    for call in (0, -2):
        result = camfast.Explainer(model, "twice", "hirescam", call=call, **SIGNED)(x, Unit("twice", (2, 3, 3)))
        grid = oracle.combine(first.detach(), G, "hirescam")
        assert oracle.relative_error(result.grid, grid) < 1e-12
        assert oracle.relative_error(result.residual, unit.detach() - grid.flatten(1).sum(1)) < 1e-12
    last = camfast.Explainer(model, "twice", "hirescam", call=1, **SIGNED)(x, Unit("twice", (2, 3, 3)))
    assert oracle.relative_error(last.grid[:, 3, 3], unit.detach()) < 1e-12
    assert bool((last.grid != 0).sum() == len(x))
