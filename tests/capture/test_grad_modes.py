"""Models and callers that switch grad mode or inference mode themselves."""

import contextlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import camfast
from tests import oracle
from tests.capture.networks import Apply, Block, Wired, conv, head, images, sequential


def _map(model: nn.Module, x: Tensor, layer: str, target: int = 1) -> Tensor:
    return camfast.cam(model, x, layer, target, method="hirescam", relu=False, size="grid")


def _expected(model: nn.Module, x: Tensor, layer: str, target: int = 1) -> Tensor:
    return oracle.grid(model, x, layer, target, "hirescam")


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_inside_of_the_callers_mode(around: Callable[[], object]) -> None:
    model, x = sequential(), images()
    expected = _expected(model, x, "1")
    with around():
        made_inside = images()
        inside = _map(model, x, "1"), _map(model, made_inside, "1")
        modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        many = camfast.Explainer(model, "1", size="grid")(made_inside, torch.tensor([3, 0]), out=None).maps
    assert modes == (around is torch.enable_grad, around is torch.inference_mode)
    assert oracle.relative_error(inside[0], expected) < 1e-12
    assert oracle.relative_error(inside[1], _expected(model, made_inside.clone(), "1")) < 1e-12
    single = camfast.Explainer(model, "1", size="grid")(made_inside.clone(), [3, 0]).maps
    assert torch.allclose(many, torch.stack([single[0, 0], single[1, 1]]))


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "eigencam", "eigengradcam"])
@pytest.mark.parametrize("size", [None, "grid"])
@pytest.mark.parametrize("target", [1, "all"])
def test_out_made_under_inference_mode(method: str, size: str | None, target: int | str) -> None:
    model, x = sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2)), images()
    expected = camfast.cam(model, x, "2", target, method=method, size=size)  # type: ignore[arg-type]
    explainer = camfast.Explainer(model, "2", method, size=size)  # type: ignore[arg-type]
    with torch.inference_mode():
        out = torch.empty(expected.shape, dtype=torch.float64)
        assert explainer(x, target, out=out).maps is out
    assert torch.equal(out, expected)


MODES: dict[str, Callable[[], object]] = {
    "no_grad": torch.no_grad,
    "enable_grad": torch.enable_grad,
    "off": lambda: torch.set_grad_enabled(False),
    "on": lambda: torch.set_grad_enabled(True),
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_the_layer_inside_a_block_of_its_own_mode(mode: Callable[[], object]) -> None:
    def body(block: Block, x: Tensor) -> Tensor:
        with mode():  # type: ignore[attr-defined]
            return block.layer(x)

    model = nn.Sequential(Block(body), nn.ReLU(), head())
    x = images()
    twin = nn.Sequential(model[0].layer, nn.ReLU(), model[2])
    assert oracle.relative_error(_map(model, x, "0.layer"), _expected(twin, x, "0")) < 1e-12


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("depth", [0, 2])
def test_a_block_that_uses_the_layer_further_behind_its_mode(mode: Callable[[], object], depth: int) -> None:
    """What follows within the block must not drop out of the gradient."""

    def body(block: Block, x: Tensor) -> tuple[Tensor, Tensor]:
        with mode():  # type: ignore[attr-defined]
            a = block.layer(x)
        return a, a * a

    block: nn.Module = Block(body)
    name = "block.layer"
    for _ in range(depth):
        block, name = nn.Sequential(block), name.replace("layer", "0.layer")
    model = Wired(lambda self, x: self.head(sum(self.block(x))), block=block)
    twin = nn.Sequential(model.get_submodule(name), Apply(lambda a: a + a * a), model.head)
    x = images()
    assert oracle.relative_error(_map(model, x, name), _expected(twin, x, "0")) < 1e-12


def test_the_trunk_in_no_grad_and_the_head_outside() -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        with torch.no_grad():
            a = model.layer(x)
        return model.head(a)

    model, x = Wired(wiring), images()
    twin = Wired(lambda self, x: self.head(self.layer(x)))
    twin.load_state_dict(model.state_dict())
    assert oracle.relative_error(_map(model, x, "layer"), _expected(twin, x, "layer")) < 1e-12


def test_a_forward_that_is_decorated_by_no_grad() -> None:
    class Frozen(Wired):
        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    model, x = Frozen(lambda self, x: self.head(self.layer(x).relu())), images()
    twin = Wired(model.wiring)
    twin.load_state_dict(model.state_dict())
    assert oracle.relative_error(_map(model, x, "layer"), _expected(twin, x, "layer")) < 1e-12


def test_the_head_in_the_models_own_no_grad_is_refused() -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        a = model.layer(x)
        with torch.no_grad():
            return model.head(a)

    with pytest.raises(camfast.CaptureError, match=r"no gradient flows from the scores back to layer layer.*no_grad"):
        camfast.cam(Wired(wiring), images(), "layer")


def test_a_detached_head_is_refused() -> None:
    model = Wired(lambda self, x: self.head(self.layer(x).detach()))
    with pytest.raises(camfast.CaptureError, match=r"scores don't depend on the layer.*detach"):
        camfast.cam(model, images(), "layer")


def test_the_models_own_inference_mode_before_the_layer() -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        with torch.inference_mode():
            x = model.stem(x)
        return model.head(model.layer(x))

    model, x = Wired(wiring, stem=nn.Conv2d(3, 3, 1).double()), images()
    twin = nn.Sequential(model.stem, model.layer, model.head)
    assert oracle.relative_error(_map(model, x, "layer"), _expected(twin, x, "1")) < 1e-12
    model.stem, model.layer = twin[:2], nn.Identity()  # returns the inference tensor that it is given
    assert oracle.relative_error(_map(model, x, "layer"), _expected(twin, x, "1")) < 1e-12


def test_the_layer_in_the_models_own_inference_mode_is_refused() -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        with torch.inference_mode():
            a = model.layer(x)
        return model.head(a.clone())

    with pytest.raises(camfast.CaptureError, match="'layer' runs inside an inference_mode block"):
        camfast.cam(Wired(wiring), images(), "layer")
    assert not torch.is_inference_mode_enabled()


def test_parameters_made_under_inference_mode() -> None:
    with torch.inference_mode():
        model = sequential()
    x = images()
    with pytest.raises(camfast.CaptureError, match=r"made under inference_mode.*copy\.deepcopy"):
        camfast.cam(model, x, "1")
    trunk_only = nn.Sequential(model[0], nn.ReLU(), head())
    normal = nn.Sequential(conv(), nn.ReLU(), trunk_only[2])
    normal[0].load_state_dict({name: value.clone() for name, value in model[0].state_dict().items()})
    assert oracle.relative_error(_map(trunk_only, x, "1"), _expected(normal, x, "1")) < 1e-12


def test_a_trunk_that_differentiates_something_itself() -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (force,) = torch.autograd.grad((x**3).sum(), x)
        return model.head(model.layer(force))

    model, x = Wired(wiring), images()
    assert oracle.relative_error(_map(model, x, "layer"), _expected(model, x, "layer")) < 1e-12


def test_several_layers_across_a_block_in_no_grad() -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        with torch.no_grad():
            a = model.layer(x)
            b = model.second(a)
        return model.head(a + b)

    model = Wired(wiring, second=nn.Conv2d(4, 4, 1).double())
    twin = Wired(lambda self, x: self.head((a := self.layer(x)) + self.second(a)), second=model.second)
    twin.load_state_dict(model.state_dict())
    x = images()
    found = camfast.Explainer(model, ["layer", "second"], "hirescam", relu=False, size="grid")(x, 1).maps
    for name in ("layer", "second"):
        assert oracle.relative_error(found[name], _expected(twin, x, name)) < 1e-12, name


@pytest.mark.parametrize("layers", ["1.layer", "2", ["1.layer"], ["2", "1.layer"]])
@pytest.mark.parametrize("mode", [*MODES, "none"])
def test_the_trunk_runs_once_and_without_a_graph(layers: str | list[str], mode: str) -> None:
    def body(block: Block, x: Tensor) -> Tensor:
        with MODES.get(mode, contextlib.nullcontext)():  # type: ignore[attr-defined]
            return block.layer(x)

    stem, tracked = nn.Conv2d(3, 3, 1).double(), []
    stem.register_forward_hook(lambda *call: tracked.append(call[-1].requires_grad))
    model = nn.Sequential(stem, Block(body), nn.ReLU(), head())
    for target in (1, "all"):
        camfast.Explainer(model, layers)(images(), target)
    assert tracked == [False, False]


def test_what_defeats_a_pass_is_remembered() -> None:
    runs: list[int] = []
    model = nn.Sequential(conv(), nn.ReLU(inplace=True), head())
    model.register_forward_pre_hook(lambda *_: runs.append(1))
    for _ in range(3):
        camfast.cam(model, images(), "0")
    assert len(runs) == 4


def test_a_view_made_before_the_layer_and_written_to_behind_it() -> None:
    """Torch doesn't let a view that was made without gradients be written to with them."""

    def wiring(model: Wired, x: Tensor) -> Tensor:
        whole = model.first(x)
        left = whole[:, :3]
        left.copy_(model.layer(left * 1)[:, :3])
        return model.head(whole)

    model, x = Wired(wiring, first=conv()), images()
    found = camfast.cam(model, x, "layer", 1, method="hirescam", relu=False, size="grid")
    assert oracle.relative_error(found, oracle.grid(model, x, "layer", 1, "hirescam")) < 1e-12


@pytest.mark.parametrize("frozen", [False, True])
def test_a_mode_that_is_found_before_the_layer_and_put_back_behind_it(frozen: bool) -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        before = torch.is_grad_enabled()
        made = model.layer(x)
        with torch.set_grad_enabled(before):
            made = made * 2
        return model.head(made)

    model, x = Wired(wiring).requires_grad_(not frozen), images()
    for _ in range(2):
        found = camfast.cam(model, x, "layer", 1, relu=False, size="grid")
        assert oracle.relative_error(found, oracle.grid(model, x, "layer", 1)) < 1e-12
