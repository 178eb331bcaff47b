"""In-place operations behind, before and in the layer give the map of their out-of-place twins."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import camfast
from tests import oracle
from tests.capture.networks import CHANNELS, Apply, Output, Wired, conv, head, images, sequential


def _increment(x: Tensor) -> Tensor:
    x += 1
    return x


def _scale_a_view(x: Tensor) -> Tensor:
    x[:, 0].mul_(3)
    return x


def _write_a_region(x: Tensor) -> Tensor:
    x[..., :2, :2] = 0
    return x


def _within_no_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        x.mul_(2)
    return x


IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(inplace=True),
    "functional": lambda x: F.relu(x, inplace=True),
    "method": lambda x: x.relu_(),
    "augmented assignment": _increment,
    "view": _scale_a_view,
    "assignment": _write_a_region,
    "two in a row": lambda x: x.mul_(2).tanh_(),
    "after a saved use": lambda x: x.sigmoid() + x.mul_(2),
}


@pytest.mark.parametrize("operation", IN_PLACE.values(), ids=IN_PLACE)
@pytest.mark.parametrize("frozen", [False, True])
def test_behind_the_layer(operation: Callable[[Tensor], Tensor], frozen: bool) -> None:
    model = nn.Sequential(conv(), Apply(operation), head()).requires_grad_(not frozen)
    x = images()
    expected = oracle.grid(model, x, "0", 3)
    for _ in range(2):  # the second call knows the form that works
        found = camfast.cam(model, x, "0", 3, relu=False, size="grid")
        assert oracle.relative_error(found, expected) < 1e-12


def test_behind_the_layer_without_a_graph() -> None:
    model = nn.Sequential(conv(), Apply(_within_no_grad), head())
    twin = nn.Sequential(model[0], Apply(lambda x: x + x.detach()), model[2])
    x = images()
    found = camfast.cam(model, x, "0", 3, relu=False, size="grid")
    assert oracle.relative_error(found, oracle.grid(twin, x, "0", 3)) < 1e-12


@pytest.mark.parametrize("operation", IN_PLACE.values(), ids=IN_PLACE)
def test_behind_one_of_several_layers(operation: Callable[[Tensor], Tensor]) -> None:
    trunk = (conv(), nn.AvgPool2d(3, 1, 1), Apply(operation), conv(8), Apply(operation), nn.Conv2d(8, CHANNELS, 1))
    model, x = nn.Sequential(*trunk, head()).double(), images()
    names = ["5", "3", "1", "0"]
    found = camfast.Explainer(model, names, "hirescam", relu=False, size="grid")(x, 2).maps
    for name in names:
        assert oracle.relative_error(found[name], oracle.grid(model, x, name, 2, "hirescam")) < 1e-12, name


def test_the_layer_itself_is_in_place() -> None:
    model = nn.Sequential(conv(), nn.ReLU(inplace=True), head())
    x = images()
    assert oracle.relative_error(
        camfast.cam(model, x, "1", 0, relu=False, size="grid"), oracle.grid(model, x, "1", 0)
    ) < 1e-12  # fmt: skip
    found = camfast.Explainer(model, ["0", "1"], relu=False, size="grid")(x, 0).maps
    for name in ("0", "1"):
        assert oracle.relative_error(found[name], oracle.grid(model, x, name, 0)) < 1e-12


def test_residual_additions() -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        identity = model.layer(x)
        out = model.inner(identity)
        out += identity
        return model.head(model.rectify(out))

    model = Wired(wiring, inner=nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).double(), rectify=nn.ReLU(inplace=True))
    x = images()
    for name in ("layer", "inner", "rectify"):
        found = camfast.cam(model, x, name, 1, relu=False, size="grid")
        assert oracle.relative_error(found, oracle.grid(model, x, name, 1)) < 1e-12, name


def test_a_changed_dataclass_is_copied() -> None:
    model = Wired(lambda self, x: self.head(self.wrap(self.layer(x)).tensor.relu_()), wrap=Apply(Output))
    x = images()
    for frozen in (False, True):
        found = camfast.cam(
            model.requires_grad_(not frozen), x, "wrap", 1, layer_output=lambda out: out.tensor, relu=False, size="grid"
        )
        assert oracle.relative_error(found, oracle.grid(model, x, "layer", 1)) < 1e-12


def test_an_object_that_cannot_be_copied_is_refused() -> None:
    class Opaque:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    model = Wired(lambda self, x: self.head(self.wrap(self.layer(x)).tensor.relu_()), wrap=Apply(Opaque))
    with pytest.raises(camfast.CaptureError, match=r"'wrap' returns \(Opaque\).*tuple, dict or dataclass"):
        camfast.cam(model, images(), "wrap", layer_output=lambda out: out.tensor)


def test_an_opaque_object_is_explained_where_nothing_changes_it() -> None:
    class Opaque:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    model = Wired(lambda self, x: self.head(self.wrap(self.layer(x)).tensor.relu()), wrap=Apply(Opaque))
    x = images()
    found = camfast.cam(model, x, "wrap", 1, layer_output=lambda out: out.tensor, relu=False, size="grid")
    assert oracle.relative_error(found, oracle.grid(model, x, "layer", 1)) < 1e-12


def test_the_models_input_is_left_alone_and_each_attempt_sees_it() -> None:
    model = nn.Sequential(Apply(lambda x: x.sub_(1)), conv(), nn.ReLU(inplace=True), head())
    x = images()
    before = x.clone()
    found = camfast.cam(model, x, "1", 1, relu=False, size="grid")  # the first attempt is defeated by the ReLU
    assert torch.equal(x, before)
    assert oracle.relative_error(found, oracle.grid(copy.deepcopy(model), before.clone(), "1", 1)) < 1e-12


def test_an_error_of_the_model_itself_keeps_its_cause() -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        a = model.layer(x)
        torch.zeros(1, requires_grad=True).add_(1)
        return model.head(a)

    with pytest.raises(camfast.CaptureError, match="leaf Variable") as raised:
        camfast.cam(Wired(wiring), images(), "layer")
    assert isinstance(raised.value.__cause__, RuntimeError)


def test_an_identity_behind_the_layer_is_the_same_tensor() -> None:
    model, x = sequential(nn.Identity(), nn.Dropout()).eval(), images()
    found = camfast.Explainer(model, ["1", "2", "3"], relu=False, size="grid")(x, 1).maps
    expected = oracle.grid(model, x, "1", 1)
    assert all(oracle.relative_error(found[name], expected) < 1e-12 for name in ("1", "2", "3"))
