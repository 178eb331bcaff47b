"""Which layer, which call of it, and where its activation and the scores are found."""

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from tests import oracle
from tests.capture.networks import CHANNELS, Apply, Output, Wired, conv, head, images, sequential


def _signed(model: nn.Module, x: Any, layer: str | nn.Module, target: int = 1, **options: Any) -> Tensor:
    return camfast.cam(model, x, layer, target, relu=False, size="grid", **options)


def _shared() -> Wired:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        a = model.layer(x)
        for scale in (1.0, 0.5, 2.0):
            a = model.shared(a * scale) + 0.1 * a
        return model.head(a)

    return Wired(wiring, shared=nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).double())


@pytest.mark.parametrize("call", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("frozen", [False, True])
def test_each_call_of_a_shared_layer(call: int, frozen: bool) -> None:
    model, x = _shared().requires_grad_(not frozen), images()
    expected = oracle.grid(model, x, "shared", 1, call=call)
    assert oracle.relative_error(_signed(model, x, "shared", call=call), expected) < 1e-12
    with camfast.capture(model, "shared", call=call) as captured:
        scores = model(x)
    assert oracle.relative_error(captured.map(scores[:, 1], relu=False, size="grid"), expected) < 1e-12


@pytest.mark.parametrize("call", [0, -1, -3])
def test_a_call_of_several_shared_layers(call: int) -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        a = model.layer(x)
        for _ in range(3):
            a = model.second(model.first(a).tanh())
        return model.head(a)

    model = Wired(wiring, first=nn.Conv2d(4, 4, 1).double(), second=nn.Conv2d(4, 4, 1).double())
    x = images()
    found = camfast.Explainer(model, ["second", "first"], relu=False, size="grid", call=call)(x, 1).maps
    for name in ("first", "second"):
        assert oracle.relative_error(found[name], oracle.grid(model, x, name, 1, call=call)) < 1e-12


@pytest.mark.parametrize("call", [3, -4])
def test_a_call_that_never_came(call: int) -> None:
    with pytest.raises(camfast.CaptureError, match=rf"'shared' ran 3 times: there is no call={call}.*-3 to 2"):
        camfast.cam(_shared(), images(), "shared", call=call)


def test_a_second_name_of_a_shared_module() -> None:
    relu = nn.ReLU()
    model = nn.Sequential(conv(), relu, nn.Conv2d(4, 4, 1).double(), relu, head())
    x = images()
    expected = oracle.grid(model, x, "1", 1, call=-1)
    for layer in ("1", "3", relu):
        assert oracle.relative_error(_signed(model, x, layer), expected) < 1e-12


def test_one_pass_for_several_layers_runs_the_model_once() -> None:
    runs: list[int] = []
    model = sequential(nn.Conv2d(4, 4, 1), nn.Tanh())
    model.register_forward_pre_hook(lambda *_: runs.append(1))
    x = images()
    result = camfast.Explainer(model, ("3", "0", model[1]), "respond", size="grid")(x, "all")
    assert len(runs) == 1
    assert list(result.maps) == ["3", "0", "1"] == list(result.weights) == list(result.residual)
    for name, maps in result.maps.items():
        for target in range(5):
            expected = oracle.grid(model, x, name, target, "respond")
            assert oracle.relative_error(maps[:, target], expected) < 1e-9, name


def test_parallel_branches() -> None:
    model = Wired(
        lambda self, x: self.head(self.layer(x) * self.gate(x).sigmoid()), gate=nn.Conv2d(3, 4, 3, padding=1).double()
    )
    x = images()
    for frozen in (False, True):
        found = camfast.Explainer(model.requires_grad_(not frozen), ["gate", "layer"], relu=False, size="grid")(x, 1)
        for name in ("gate", "layer"):
            assert oracle.relative_error(found.maps[name], oracle.grid(model, x, name, 1)) < 1e-12


def test_never_reached() -> None:
    model = Wired(lambda self, x: self.head(self.layer(x)), unused=nn.ReLU(), parts=nn.ModuleList([nn.ReLU()]))
    for name in ("unused", "parts"):
        with pytest.raises(camfast.CaptureError, match=f"layer '{name}' was never reached.*container"):
            camfast.cam(model, images(), name)
        with (
            camfast.capture(model, name) as captured,
            pytest.raises(camfast.CaptureError, match="never reached"),
        ):
            captured.map(model(images())[:, 0])


def test_the_last_layer_and_the_model_itself() -> None:
    net = nn.Sequential(conv(), nn.ReLU(), nn.Conv2d(4, 3, 1)).double()
    x = images()
    region = camfast.Region(2, "image")
    expected = net(x).detach()[:, 2]  # G is 1 on channel 2 and 0 elsewhere
    for layer in ("2", "", net, net[2]):
        found = camfast.Explainer(net, layer, relu=False, size="grid")(x, region)
        assert oracle.relative_error(found.maps, expected) < 1e-12
        assert torch.equal(found.scores, net(x))
    flat = nn.Sequential(conv(), nn.Flatten(), nn.Linear(256, 5).double())
    with pytest.raises(
        ValueError, match=r"'2' has the shape \(2, 5\), expected \(N, C, \*S\).*earlier layer.*reshape="
    ):
        camfast.cam(flat, x, "2")


Pair = namedtuple("Pair", ["tensor", "other"])

RETURNS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
    "tuple": (lambda t: (None, t), lambda out: out[1]),
    "list": (lambda t: [t, 1], lambda out: out[0]),
    "named tuple": (lambda t: Pair(t, 0), lambda out: out.tensor),
    "dict": (lambda t: {"a": 1, "features": {"out": t}}, lambda out: out["features"]["out"]),
    "dataclass": (lambda t: Output(t), lambda out: out.tensor),
    "dataclass in a tuple": (lambda t: (Output(t, t.detach()),), lambda out: out[0].tensor),
}


@pytest.mark.parametrize(("wrap", "find"), RETURNS.values(), ids=RETURNS)
@pytest.mark.parametrize("frozen", [False, True])
def test_what_layers_and_models_return(wrap: Callable[..., Any], find: Callable[..., Any], frozen: bool) -> None:
    model = Wired(lambda self, x: wrap(self.head(find(self.layer_out(self.layer(x))))), layer_out=Apply(wrap))
    twin = Wired(lambda self, x: self.head(self.layer(x)))
    twin.load_state_dict(model.state_dict())
    x = images()
    expected = oracle.grid(twin, x, "layer", 1)
    found = _signed(model.requires_grad_(not frozen), x, "layer_out", output=find, layer_output=find)
    assert oracle.relative_error(found, expected) < 1e-12
    with camfast.capture(model, "layer_out", layer_output=find) as captured:
        scores = find(model(x))
    assert oracle.relative_error(captured.map(scores[:, 1], relu=False, size="grid"), expected) < 1e-12
    with pytest.raises(camfast.CaptureError, match=r"layer 'layer_out' returned .*not a tensor: pass layer_output="):
        camfast.cam(model, x, "layer_out", output=find)
    with pytest.raises(camfast.CaptureError, match=r"the model returned .*not a tensor: pass output="):
        camfast.cam(model, x, "layer")


def test_a_tensor_that_the_layer_did_not_return() -> None:
    model = sequential()
    with pytest.raises(camfast.CaptureError, match=r"layer_output="):
        camfast.cam(model, images(), "1", layer_output=lambda out: out * 2)


def test_whole_numbers_have_no_gradient() -> None:
    model = Wired(lambda self, x: self.head(self.layer(x)).argmax(1))
    with pytest.raises(camfast.CaptureError, match=r"the model returned a tensor of torch.int64.*output="):
        camfast.cam(model, images(), "layer")


class _Tokens(nn.Module):
    """A vision transformer's way: patches to tokens with one for the class in front."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 2, 2)
        self.blocks = nn.Sequential(*(nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True) for _ in range(2)))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], 1)
        return self.fc(self.blocks(tokens)[:, 0])


def _to_grid(tokens: Tensor) -> Tensor:
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 4))


@pytest.mark.filterwarnings("ignore::camfast.errors.TrainingModeWarning")
@pytest.mark.parametrize("train", [True, False])
def test_tokens(train: bool) -> None:
    model, x = _Tokens().double().train(train), images()
    A, G, _ = oracle.activations_and_gradients(model, x, "blocks.0", 2)
    expected = oracle.combine(_to_grid(A), _to_grid(G), "hirescam")
    explainer = camfast.Explainer(model, "blocks.0", "hirescam", relu=False, reshape=_to_grid)
    result = explainer(x, 2)
    assert oracle.relative_error(result.grid, expected) < 1e-10
    assert result.maps.shape == (2, 8, 8)
    assert oracle.relative_error(explainer(x, "all").grid[:, 2], expected) < 1e-10
    with camfast.capture(model, "blocks.0", reshape=_to_grid) as captured:
        scores = model(x)
    found = captured.map(scores, "hirescam", relu=False, size="grid")
    assert oracle.relative_error(found[:, 2], expected) < 1e-10
    with pytest.raises(ValueError, match=r"\(8, 8\) doesn't fit the layer's grid \(8,\).*tokens need reshape="):
        camfast.cam(model, x, "blocks.0", 2)


def test_channels_last_activations() -> None:
    model = nn.Sequential(conv(), Apply(lambda a: a.permute(0, 2, 3, 1)), nn.LayerNorm(4).double(), head())
    x = images()
    A, G, _ = oracle.activations_and_gradients(model, x, "2", 1)
    expected = oracle.combine(A.permute(0, 3, 1, 2), G.permute(0, 3, 1, 2), "gradcam")
    assert oracle.relative_error(_signed(model, x, "2", reshape=lambda a: a.permute(0, 3, 1, 2)), expected) < 1e-10


@pytest.mark.parametrize("pack", [lambda x, s: (x, s), lambda x, s: {"x": x, "scale": s}])
def test_several_inputs(pack: Callable[..., Any]) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = conv(), head()

        def forward(self, x: Tensor, scale: float) -> Tensor:
            return self.head(self.layer(x) * scale)

    model, x = Two(), images()
    found = camfast.Explainer(model, "layer", relu=False)(pack(x, 3.0), 1)
    assert oracle.relative_error(found.grid, oracle.grid(model, (x, 3.0), "layer", 1)) < 1e-12
    assert found.maps.shape == (2, 8, 8)


def test_a_tensor_subclass_gives_plain_maps() -> None:
    class Tagged(Tensor):
        """Like MONAI's MetaTensor: an ordinary tensor with more to say."""

    model, x = sequential(), images()
    result = camfast.Explainer(model, "1", relu=False)(x.as_subclass(Tagged), "all")
    assert {type(result.maps), type(result.grid), type(result.scores), type(result.residual)} == {Tensor}
    assert oracle.relative_error(result.grid[:, 1], oracle.grid(model, x, "1", 1)) < 1e-12
    with camfast.capture(model, "1") as captured:
        scores = model(x.as_subclass(Tagged))
    found = captured.map(scores[:, 1], relu=False, size="grid")
    assert type(found) is Tensor
    assert oracle.relative_error(found, oracle.grid(model, x, "1", 1)) < 1e-12
