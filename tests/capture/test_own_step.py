"""`capture` in the caller's own forward pass and training step, and maps that can be differentiated."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import camfast
from tests import oracle
from tests.capture.networks import CHANNELS, Apply, Wired, conv, head, images, sequential


def _gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("order", ["map first", "backward first", "inside"])
def test_a_training_step_has_the_same_gradients(in_place: bool, copied: bool, order: str) -> None:
    model = nn.Sequential(conv(), nn.BatchNorm2d(CHANNELS), nn.ReLU(in_place), head()).double()
    twin, x, labels = copy.deepcopy(model), images(), torch.tensor([1, 4])
    F.cross_entropy(twin(x), labels).backward()
    layer = "1" if not in_place or copied else "2"
    with camfast.capture(model, layer, copy=copied) as captured:
        scores = model(x)
        if order == "inside":
            found = captured.map(scores, "hirescam", relu=False, size="grid")
            F.cross_entropy(scores, labels).backward()
    if order == "map first":
        found = captured.map(scores, "hirescam", relu=False, size="grid")
        F.cross_entropy(scores, labels).backward()
    elif order == "backward first":
        F.cross_entropy(scores, labels).backward(retain_graph=True)
        found = captured.map(scores, "hirescam", relu=False, size="grid")
    assert all(torch.equal(a, b) for a, b in zip(_gradients(model), _gradients(twin), strict=True))
    assert len(_gradients(model)) == 8
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), twin.buffers(), strict=True))
    assert not found.requires_grad
    for target in range(5):
        expected = oracle.grid(twin, x, layer, target, "hirescam")
        assert oracle.relative_error(found[:, target], expected) < 1e-10


def test_an_uncopied_activation_that_was_changed_is_refused() -> None:
    model = nn.Sequential(conv(), nn.ReLU(inplace=True), head())
    with camfast.capture(model, "0", copy=False) as captured:
        scores = model(images())
    with pytest.raises(
        camfast.CaptureError, match=r"'0' is changed in place by what follows it: use capture.*copy=True"
    ):
        captured.map(scores[:, 1])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_frozen_or_without_gradients(mode: Callable[[], object]) -> None:
    model, x = sequential(), images()
    expected = oracle.grid(model, x, "1", 1)
    model.requires_grad_(False)
    with mode():  # type: ignore[attr-defined]
        before = torch.is_grad_enabled()
        with camfast.capture(model, "1") as captured:
            scores = model(x)
            values = scores[:, 1]
        assert torch.is_grad_enabled() == before
        found = captured.map(values, relu=False, size="grid")
    assert oracle.relative_error(found, expected) < 1e-12


def test_values_without_a_graph_are_refused() -> None:
    model, x = sequential(), images()
    with torch.no_grad():
        with camfast.capture(model, "1") as captured:
            scores = model(x)
        values = scores[:, 1]  # a view that says it requires grad, without a graph
    for wrong in (values, scores.detach(), scores.detach()[:, 0]):
        with pytest.raises(
            camfast.CaptureError, match=r"values have no graph: compute them .* inside the capture block"
        ):
            captured.map(wrong)


def test_values_of_another_shape_are_refused() -> None:
    model = sequential()
    with camfast.capture(model, "1") as captured:
        scores = model(images())
    for wrong, found in ((scores.sum(), r"\(\)"), (scores[None], r"\(1, 2, 5\)"), (3, "int")):
        with pytest.raises(ValueError, match=f"values must be one scalar a sample.*found {found}"):
            captured.map(wrong)  # type: ignore[arg-type]


def test_inference_mode_is_refused() -> None:
    model = sequential()
    with (
        torch.inference_mode(),
        pytest.raises(camfast.CaptureError, match="inference_mode block"),
        camfast.capture(model, "1"),
    ):
        model(images())


def test_nested_captures() -> None:
    for frozen in (False, True):
        model, x = sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)).requires_grad_(not frozen), images()
        with (
            camfast.capture(model, "2") as late,
            camfast.capture(model, "1") as early,
            camfast.capture(model, "2") as twice,
        ):
            scores = model(x)
        for captured, name in ((late, "2"), (early, "1"), (twice, "2"), (late, "2")):
            found = captured.map(scores[:, 3], "respond", size="grid")
            assert oracle.relative_error(found, oracle.grid(model, x, name, 3, "respond")) < 1e-10


def test_explanations_within_the_block_keep_to_themselves() -> None:
    model, x = sequential(nn.AdaptiveAvgPool2d(8)), images()
    other = torch.randn(3, 3, 12, 10, dtype=torch.float64)
    with camfast.capture(model, "1") as captured:
        scores = model(x)
        inside = camfast.cam(model, other, "1", 2, relu=False)
        camfast.cam(nn.Sequential(model), other, "0.1", 2)
    assert oracle.relative_error(inside, oracle.grid(model, other, "1", 2)) < 1e-12
    assert oracle.relative_error(captured.map(scores[:, 1], relu=False), oracle.grid(model, x, "1", 1)) < 1e-12


def test_an_explanation_from_a_hook_of_the_model_that_is_explained() -> None:
    model, x = sequential(), images()
    expected, other = oracle.grid(model, x, "1", 1), oracle.grid(model, x, "1", 2)
    found: list[Tensor] = []

    def explain_once(*call: object) -> None:
        handle.remove()
        found.append(camfast.cam(model, x, "1", 2, relu=False, size="grid"))

    for place in (model[0], model[1], model[2]):
        handle = place.register_forward_hook(explain_once)
        assert oracle.relative_error(camfast.cam(model, x, "1", 1, relu=False, size="grid"), expected) < 1e-12
    assert len(found) == 3
    assert all(oracle.relative_error(inner, other) < 1e-12 for inner in found)


def test_the_map_has_the_inputs_size_and_the_options_of_cam() -> None:
    model, x = sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2)), images()
    with camfast.capture(model, "2") as captured:
        scores = model(x)
    options = {"method": "extended", "sigma": (2.0, 3.0), "gain": "mass", "centres": ((0.5, 2.0), (0.5, 2.0))}
    assert torch.allclose(captured.map(scores[:, 1], **options), camfast.cam(model, x, "2", 1, **options))  # type: ignore[arg-type]
    assert captured.map(scores, size=(5, 6)).shape == (2, 5, 5, 6)
    assert captured.map(scores).shape == (2, 5, 8, 8)
    assert captured.map(scores[:, 1]).shape == (2, 8, 8)
    assert captured.activations.shape == (2, 4, 4, 4)


@pytest.mark.parametrize("method", [name for name in camfast.methods() if name != "cam"])
@pytest.mark.parametrize("size", ["grid", None])
def test_the_gradient_of_a_loss_on_the_map(method: str, size: str | None) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Softplus(), nn.Flatten(), nn.Linear(8, 3), nn.Tanh()).double()
    x = torch.randn(2, 1, 3, 3, dtype=torch.float64)
    parameters = dict(model.named_parameters())
    options = {"sigma": 1.5} if method == "extended" and size is None else {}
    explainer = camfast.Explainer(model, "1", method, size=size, create_graph=True, **options)  # type: ignore[arg-type]

    def loss(*values: Tensor) -> Tensor:
        with torch.no_grad():
            for parameter, value in zip(parameters.values(), values, strict=True):
                parameter.copy_(value)
        maps = explainer(x, "all").maps
        total = (maps * torch.linspace(-1, 1, maps.numel(), dtype=torch.float64).view(maps.shape)).sum()
        return total, torch.autograd.grad(total, list(parameters.values()), allow_unused=True)  # type: ignore[return-value]

    start = [parameter.detach().clone() for parameter in parameters.values()]
    _, gradients = loss(*start)
    for index, gradient in enumerate(gradients):
        expected = torch.zeros_like(start[index]).flatten()
        for entry in range(expected.numel()):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [value.clone() for value in start]
                moved[index].view(-1)[entry] += step
                ends.append(loss(*moved)[0].item())
            expected[entry] = (ends[0] - ends[1]) / 2e-6
        found = torch.zeros_like(expected) if gradient is None else gradient.flatten()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("target", [1, [2, 1], "all"])
def test_a_map_in_the_loss_equals_the_naive_one(target: object) -> None:
    model = nn.Sequential(conv(), nn.Softplus(), nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True), head()).double()
    x = images()
    result = camfast.Explainer(model, "1", "respond", size="grid", create_graph=True)(x, target)  # type: ignore[arg-type]
    maps = result.maps if target == 1 else result.maps[:, 1]
    found = torch.autograd.grad(maps.square().sum(), list(model.parameters()), allow_unused=True)

    A = model[1](model[0](x))
    (G,) = torch.autograd.grad(nn.Sequential(*model[2:])(A)[:, 1].sum(), A, create_graph=True)
    L = oracle.combine(A, G, "respond")
    expected = torch.autograd.grad(L.square().sum(), list(model.parameters()), allow_unused=True)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_maps_graph_reaches_inputs_and_several_layers() -> None:
    model, x = nn.Sequential(conv(), nn.Softplus(), Apply(torch.tanh), head()), images().requires_grad_()
    explainer = camfast.Explainer(model, ["1", "2"], "hirescam", relu=False, fuse="mean", create_graph=True)
    (found,) = torch.autograd.grad(explainer(x, 1).maps.square().sum(), x)
    A = model[1](model[0](x))
    B = model[2](A)
    scores = model[3](B)[:, 1].sum()
    G, H = torch.autograd.grad(scores, (A, B), create_graph=True)
    L = ((G * A).sum(1) + (H * B).sum(1)) / 2
    (expected,) = torch.autograd.grad(L.square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def test_a_model_that_the_caller_runs_part_by_part() -> None:
    model, x = Wired(lambda self, x: self.head(self.layer(x))), images()
    with camfast.capture(model, model.layer) as captured:
        scores = model.head(model.layer(x))  # the model itself never runs, so its input's size is not known
    assert captured.map(scores[:, 1], size="grid").shape == (2, 8, 8)
    with pytest.raises(ValueError, match="input's spatial size None doesn't fit"):
        captured.map(scores[:, 1])
