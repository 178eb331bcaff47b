"""One feature map alone, or one unit of it, against a way back written by hand."""

import pytest
import torch
from torch import Tensor, nn

import camfast
from tests.backprop import reference
from tests.backprop.test_saliency import EXACT
from tests.oracle import relative_error

RULES = ["deconvnet", "guided", "saliency", "linear"]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("layer", ["6", "7", "8", "10"], ids=["convolution", "ReLU", "pooling", "dense"])
@pytest.mark.parametrize("rule", RULES)
def test_by_hand(rule: str, layer: str, rank: int) -> None:
    model, x = reference.vgg_like(rank), reference.image(rank)
    features = reference.forwards(model, x)[int(layer)]["output"]
    strongest = int(features.reshape(*features.shape[:2], -1).amax((0, 2)).argmax())
    found = camfast.project(model, x, layer, strongest, rule)
    assert found.shape == x.shape
    assert relative_error(found, reference.of_unit(model, x, layer, strongest, rule)) < EXACT


@pytest.mark.parametrize("rule", RULES)
def test_a_feature_map_is_the_sum_of_its_units_where_the_rule_is_linear(rule: str) -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    places = [(2, row, column) for row in range(2) for column in range(2)]
    parts = [camfast.project(model, x, "8", place, rule) for place in places]
    whole = camfast.project(model, x, "8", 2, rule)
    if rule in ("linear", "saliency"):
        assert relative_error(sum(parts), whole) < EXACT
    else:
        assert relative_error(sum(parts), whole) > 1e-3


def test_a_single_unit_by_hand() -> None:
    model, x = reference.vgg_like(3), reference.image(3)
    steps = reference.forwards(model, x)[:9]
    start = torch.zeros_like(steps[-1]["output"])
    start[:, 4, 1, 0, 1] = steps[-1]["output"][:, 4, 1, 0, 1]
    expected = reference.backwards(steps, start, "deconvnet")
    assert relative_error(camfast.project(model, x, "8", (4, 1, 0, 1)), expected) < EXACT


def test_a_layer_by_module_and_a_call_by_number() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(2, 2, 3, padding=1).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x)).relu().flatten(1)

    model, x = Twice(), reference.image(1)
    once = nn.Sequential(model.conv)
    found = camfast.project(model, x, model.conv, 1, call=0)
    assert relative_error(found, reference.of_unit(once, x, "0", 1, "deconvnet")) < EXACT
    both = nn.Sequential(model.conv, model.conv)
    found = camfast.project(model, x, "conv", 1)
    assert relative_error(found, reference.of_unit(both, x, "1", 1, "deconvnet")) < EXACT


def test_tokens() -> None:
    model = nn.Sequential(nn.Flatten(2), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    x = torch.randn(2, 5, 4, 4, dtype=torch.float64)  # five tokens, of eight channels each
    found = camfast.project(model, x, "2", 6, reshape=lambda tokens: tokens.transpose(1, 2))
    hidden = model[1](x.flatten(2)).detach()[..., 6].relu()
    expected = hidden[..., None] * model[1].weight[6].detach()
    assert relative_error(found, expected.reshape(x.shape)) < EXACT


@pytest.mark.parametrize(
    ("unit", "error", "said"),
    [
        (7, ValueError, r"unit=7 is out of range: layer '7' has 7 channels on a grid of \(4, 4\)"),
        (-1, ValueError, "unit=-1 is out of range"),
        ((2, 4, 0), ValueError, r"unit=\(2, 4, 0\) is out of range"),
        ((2, 1), TypeError, r"a channel, or \(channel, \*position\) of 3 numbers for layer '7'; found \(2, 1\)"),
        ("2", TypeError, "found '2'"),
        (True, TypeError, "found True"),
    ],
)
def test_units_that_there_are_not(unit: object, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        camfast.project(reference.vgg_like(2), reference.image(2), "7", unit)  # type: ignore[arg-type]


def test_what_can_not_be_projected() -> None:
    model, x = reference.vgg_like(2), reference.image(2)
    with pytest.raises(ValueError, match="rule must be one of saliency, guided, deconvnet, linear; found 'zeiler'"):
        camfast.project(model, x, "7", 1, "zeiler")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the model has no layer 'conv'"):
        camfast.project(model, x, "conv", 1)

    class Interrupted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                return self.model(x)

    with pytest.raises(camfast.CaptureError, match=r"no gradient flows from layer 'model.7' back to the input"):
        camfast.project(Interrupted(), x, "model.7", 1)
