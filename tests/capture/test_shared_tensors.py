"""Layers whose output is the very tensor that they were given: rectified in place, or handed through."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

import camfast
from tests import oracle
from tests.capture.networks import Wired, conv, images

CHANNELS = 4


def _model(layer: nn.Module, wiring: Callable[[Wired, Tensor], Tensor]) -> Wired:
    model = Wired(wiring, first=conv(), second=nn.Conv2d(CHANNELS, CHANNELS, 1).double())
    model.layer = layer
    return model.eval()


def _added(model: Wired, x: Tensor) -> Tensor:
    """What the layer returned goes through a convolution; what it was given is added."""
    x = model.first(x)
    return model.head(model.second(model.layer(x)) + x)


def _added_in_place(model: Wired, x: Tensor) -> Tensor:
    x = model.first(x)
    made = model.second(model.layer(x) * 1)
    x += made
    return model.head(x)


def _not_looked_at(model: Wired, x: Tensor) -> Tensor:
    x = model.first(x)
    model.layer(x)
    return model.head(model.second(x) + x)


WIRINGS = [_added, _added_in_place, _not_looked_at]


def _expected(model: Wired, x: Tensor, wiring: Callable[..., Tensor], *, handed: bool = False) -> Tensor:
    """The signed map of hirescam, of a copy whose layer notes where its output stands in the graph."""
    twin, taken = copy.deepcopy(model).requires_grad_(), []
    inner = twin.layer

    class Noted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            result = inner(x)
            result = result.clone() if handed else result
            taken.append((result.detach().clone(), get_gradient_edge(result)))
            return result

    twin.layer = Noted()
    scores = wiring(twin, x.clone())
    A, edge = taken[-1]
    (G,) = torch.autograd.grad(scores[:, 1].sum(), edge)
    return oracle.combine(A, G, "hirescam")


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("layer", [nn.ReLU(inplace=True), nn.ELU(inplace=True)], ids=["relu", "elu"])
@pytest.mark.parametrize("frozen", [False, True])
def test_an_input_that_the_layer_writes_into_and_the_model_goes_on_using(
    wiring: Callable[..., Tensor], layer: nn.Module, frozen: bool
) -> None:
    model, x = _model(layer, wiring).requires_grad_(not frozen), images()
    expected = _expected(model, x, wiring)
    explainer = camfast.Explainer(model, "layer", "hirescam", relu=False, size="grid")
    for _ in range(2):  # the second call knows the form that works
        assert oracle.relative_error(explainer(x, 1).maps, expected) < 1e-12
    assert oracle.relative_error(explainer.freeze(x, 1)(x, 1).maps, expected) < 1e-12


@pytest.mark.parametrize("layer", [nn.Identity(), nn.Dropout(0.5), nn.Sequential()], ids=["same", "dropout", "empty"])
@pytest.mark.parametrize("frozen", [False, True])
def test_an_input_that_the_layer_hands_through(layer: nn.Module, frozen: bool) -> None:
    """The layer's output is what goes through the layer, whichever way it is captured."""
    model, x = _model(layer, _added).requires_grad_(not frozen), images()
    expected = _expected(model, x, _added, handed=True)
    alone = camfast.cam(model, x, "layer", 1, method="hirescam", relu=False, size="grid")
    among = camfast.Explainer(model, ["first", "layer"], "hirescam", relu=False, size="grid")(x, 1).maps["layer"]
    graph = camfast.cam(model, x, "layer", 1, method="hirescam", relu=False, size="grid", create_graph=True)
    maps = {"alone": alone, "among several": among, "in a graph": graph}
    for copied in (True, False):
        with camfast.capture(model, "layer", copy=copied) as captured:
            scores = model(x)
        maps[f"captured, copy={copied}"] = captured.map(scores[:, 1], "hirescam", relu=False, size="grid")
    for how, found in maps.items():
        assert oracle.relative_error(found.detach(), expected) < 1e-12, how


def test_an_input_that_is_handed_through_and_written_to_around_the_layer() -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        x = model.first(x)
        kept = model.second(model.layer(x))
        return model.head(kept + x.mul_(2))

    model, x = _model(nn.Identity(), wiring).requires_grad_(False), images()
    found = camfast.cam(model, x, "layer", 1, method="hirescam", relu=False, size="grid")

    twin = copy.deepcopy(model)
    A = twin.first(x)
    copied = A.clone().requires_grad_()
    scores = twin.head(twin.second(copied) + A * 2)
    (G,) = torch.autograd.grad(scores[:, 1].sum(), copied)
    assert oracle.relative_error(found, oracle.combine(A, G, "hirescam")) < 1e-12


def test_an_input_of_the_model_itself_that_the_layer_writes_into() -> None:
    """The tensors that a frozen explainer keeps for its inputs are written to again and again."""
    model = nn.Sequential(nn.ReLU(inplace=True), conv(), nn.Flatten(), nn.Linear(CHANNELS * 64, 3).double())
    x, other = images(), images()
    frozen = camfast.Explainer(model, "0", "hirescam", relu=False).freeze(x, 1)
    for given in (x, other, x):
        expected = camfast.cam(model, given, "0", 1, method="hirescam", relu=False)
        assert torch.equal(frozen(given, 1).maps, expected)
