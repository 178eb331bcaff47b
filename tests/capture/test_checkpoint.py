"""Checkpointing around the head, around the layer, and around both."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import camfast
from tests import oracle
from tests.capture.networks import CHANNELS, Wired, images

# what is tested holds in training mode too
pytestmark = pytest.mark.filterwarnings("ignore::camfast.errors.TrainingModeWarning")


def _twin(model: Wired) -> Wired:
    """The model without checkpoints."""
    twin = Wired(lambda self, x: self.head(self.middle(self.layer(x)).relu()), middle=nn.BatchNorm2d(CHANNELS).double())
    twin.load_state_dict(model.state_dict())
    return twin.train(model.training)


def _around_the_head(model: Wired, x: Tensor) -> Tensor:
    return checkpoint(lambda a: model.head(model.middle(a).relu()), model.layer(x), use_reentrant=False)


def _around_the_layer(model: Wired, x: Tensor) -> Tensor:
    return model.head(checkpoint(lambda x: model.middle(model.layer(x)).relu(), x, use_reentrant=False))


def _around_both(model: Wired, x: Tensor) -> Tensor:
    return checkpoint(lambda x: model.head(model.middle(model.layer(x)).relu()), x, use_reentrant=False)


def _in_two_parts(model: Wired, x: Tensor) -> Tensor:
    a = checkpoint(model.layer, x, use_reentrant=False)
    return checkpoint(lambda a: model.head(model.middle(a).relu()), a, use_reentrant=False)


WIRINGS = [_around_the_head, _around_the_layer, _around_both, _in_two_parts]


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("target", [1, "all"])
def test_that_is_not_reentrant(wiring: object, train: bool, frozen: bool, target: int | str) -> None:
    model = Wired(wiring, middle=nn.BatchNorm2d(CHANNELS).double()).train(train).requires_grad_(not frozen)  # type: ignore[arg-type]
    x = images()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = camfast.Explainer(model, "layer", "hirescam", relu=False, size="grid")(x, target)
    found = result.maps if target == 1 else result.maps[:, 1]
    assert oracle.relative_error(found, oracle.grid(_twin(model), x, "layer", 1, "hirescam")) < 1e-10
    # the block runs again during backward, where it must not touch the statistics either
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("wiring", WIRINGS)
def test_that_is_not_reentrant_in_a_frozen_model_whose_map_has_a_graph(wiring: object) -> None:
    model = Wired(wiring, middle=nn.BatchNorm2d(CHANNELS).double()).eval().requires_grad_(False)  # type: ignore[arg-type]
    x = images()
    explainer = camfast.Explainer(model, "layer", "hirescam", relu=False, size="grid", create_graph=True)
    expected = oracle.grid(_twin(model), x, "layer", 1, "hirescam")
    assert oracle.relative_error(explainer(x, 1).maps.detach(), expected) < 1e-10
    assert oracle.relative_error(explainer(x, "all").maps[:, 1].detach(), expected) < 1e-10


@pytest.mark.parametrize("wiring", WIRINGS)
def test_several_layers(wiring: object) -> None:
    model = Wired(wiring, middle=nn.BatchNorm2d(CHANNELS).double()).eval()  # type: ignore[arg-type]
    x = images()
    found = camfast.Explainer(model, ["layer", "middle"], "hirescam", relu=False, size="grid")(x, 1).maps
    for name in ("layer", "middle"):
        assert oracle.relative_error(found[name], oracle.grid(_twin(model), x, name, 1, "hirescam")) < 1e-10


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("frozen", [True, False])
def test_in_the_callers_own_step(wiring: object, frozen: bool) -> None:
    model = Wired(wiring, middle=nn.BatchNorm2d(CHANNELS).double()).eval().requires_grad_(not frozen)  # type: ignore[arg-type]
    x = images()
    twin = _twin(model)
    with camfast.capture(model, "layer") as captured:
        scores = model(x)
        for target in (1, 2):  # each runs the blocks again, with the hooks still there
            found = captured.map(scores[:, target], "hirescam", relu=False, size="grid")
            assert oracle.relative_error(found, oracle.grid(twin, x, "layer", target, "hirescam")) < 1e-10
    if not frozen:
        scores.sum().backward()
        twin(x).sum().backward()
        for parameter, expected in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, expected.grad)


@pytest.mark.parametrize("target", [1, "all"])
def test_a_reentrant_one_around_the_head_is_refused(target: int | str) -> None:
    model = Wired(lambda self, x: checkpoint(self.head, self.layer(x), use_reentrant=True))
    with pytest.raises(camfast.CaptureError, match=r"re-entrant checkpointing behind the layer.*use_reentrant=False"):
        camfast.Explainer(model, "layer")(images(), target)


def test_a_reentrant_one_around_the_layer_is_refused() -> None:
    model = Wired(lambda self, x: self.head(checkpoint(lambda x: self.layer(x).relu(), x, use_reentrant=True)))
    with pytest.raises(camfast.CaptureError, match=r"inside a re-entrant checkpoint \(use_reentrant=False helps\)"):
        camfast.cam(model, images().requires_grad_(), "layer")


@pytest.mark.parametrize("name", ["layer", "stem"])
def test_a_reentrant_one_that_ends_with_the_layer_or_before_it(name: str) -> None:
    def wiring(model: Wired, x: Tensor) -> Tensor:
        return model.head(model.layer(checkpoint(model.stem, x, use_reentrant=True)))

    model = Wired(wiring, stem=nn.Conv2d(3, 3, 1).double())
    twin = Wired(lambda self, x: self.head(self.layer(self.stem(x))), stem=model.stem)
    twin.load_state_dict(model.state_dict())
    x = images().requires_grad_()  # torch warns without it
    found = camfast.cam(model, x, name, 1, relu=False, size="grid")
    assert oracle.relative_error(found, oracle.grid(twin, x.detach(), name, 1)) < 1e-12


def test_captured_in_a_checkpoint_of_a_frozen_model() -> None:
    """The block is computed again without the hook that started its graph, which torch reports as a different block."""
    model = Wired(_around_the_layer, middle=nn.BatchNorm2d(CHANNELS).double()).eval().requires_grad_(False)  # type: ignore[arg-type]
    x = images()
    with camfast.capture(model, "layer") as captured:
        scores = model(x)
    with pytest.raises(camfast.CaptureError, match=r"'layer' is in a checkpointed block.*requires_grad_\(\)"):
        captured.map(scores[:, 1])
    with camfast.capture(model, "layer") as captured:  # what the message proposes
        scores = model(x.clone().requires_grad_())
    found = captured.map(scores[:, 1], "hirescam", relu=False, size="grid")
    assert oracle.relative_error(found, oracle.grid(_twin(model), x, "layer", 1, "hirescam")) < 1e-10


def test_a_map_in_a_training_step_leaves_statistics_alone() -> None:
    """The checkpoint runs its block again for the map, and once more for the caller's own backward."""
    model = Wired(_around_the_head, middle=nn.BatchNorm2d(CHANNELS).double()).train()  # type: ignore[arg-type]
    with camfast.capture(model, "layer") as captured:
        scores = model(images())
    before = {name: value.clone() for name, value in model.named_buffers()}
    captured.map(scores[:, 1])
    assert all(torch.equal(before[name], value) for name, value in model.named_buffers())
