"""A model, and the caller's own step, after an exception at any stage of an explanation: as before."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camfast
from tests import oracle
from tests.capture.networks import Apply, head, images, sequential
from tests.capture.untouched import busy, untouched

# what is tested holds in training mode too
pytestmark = pytest.mark.filterwarnings("ignore::camfast.errors.TrainingModeWarning")


class _FailureError(Exception):
    pass


def _fail(*args: Any) -> Any:
    raise _FailureError


def _interrupt(scores: Tensor) -> Tensor:
    raise KeyboardInterrupt


def _fail_in_backward(scores: Tensor) -> Tensor:
    values = scores[:, :2]
    values.register_hook(_fail)
    return values


class _FailsOnTheSecond:
    """A function that passes on what it is given, once: the activation, and not the gradient."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, tensor: Tensor) -> Tensor:
        self.calls += 1
        if self.calls > 1:
            raise _FailureError
        return tensor


# by stage, what is given to the explainer and to its call
STAGES: dict[str, Callable[[], tuple[dict[str, Any], Any]]] = {
    "forward": lambda: ({}, 1),
    "hook": lambda: ({}, 1),
    "layer_output": lambda: ({"layer_output": _fail}, 1),
    "output": lambda: ({"output": _fail}, 1),
    "reshape": lambda: ({"reshape": _fail}, 1),
    "target": lambda: ({}, _fail),
    "interrupt": lambda: ({}, _interrupt),
    "class": lambda: ({}, 5),
    "backward": lambda: ({}, _fail_in_backward),
    "second backward": lambda: ({"reshape": _FailsOnTheSecond()}, "all"),
    "map": lambda: ({"upsample": "gaussian", "sigma": (1.0, 1.0, 1.0)}, 1),
    "backend": lambda: ({"backend": "cuda"}, 1),
}

FAILURES = (_FailureError, ValueError, camfast.BackendError, KeyboardInterrupt)
STAGES_OF_ANY_MODEL = [stage for stage in STAGES if stage not in ("forward", "hook")]


def _network(stage: str, *, train: bool) -> nn.Sequential:
    """One that fails where that is the stage, and has gradients from before in some of its parameters."""
    model = busy().train(train)
    if stage == "forward":
        model.insert(7, Apply(_fail))
    elif stage == "hook":
        model[6].register_forward_hook(_fail)
    model[0].weight.grad = torch.randn_like(model[0].weight)
    model[-1][1].weight.grad = torch.randn_like(model[-1][1].weight)
    model[0].bias.requires_grad_(False)
    return model


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("create_graph", [True, False])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("stage", STAGES)
def test_after_an_exception(stage: str, mode: Callable[[], object], create_graph: bool, train: bool) -> None:
    model, x = _network(stage, train=train), images().requires_grad_()
    with mode(), untouched(model):  # type: ignore[attr-defined]
        for layer in ("1", "2", ["2", "1"]):
            options, target = STAGES[stage]()
            explainer = camfast.Explainer(model, layer, create_graph=create_graph, **options)
            with pytest.raises(FAILURES):
                explainer(x, target)
    assert x.grad is None
    assert not x._backward_hooks


@pytest.mark.parametrize("create_graph", [True, False])
@pytest.mark.parametrize("stage", STAGES_OF_ANY_MODEL)
def test_the_next_explanation_is_what_it_would_have_been(stage: str, create_graph: bool) -> None:
    model, x = sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)).double(), images()
    options, target = STAGES[stage]()
    explainer = camfast.Explainer(model, "1", create_graph=create_graph, **options)
    with pytest.raises(FAILURES):
        explainer(x, target)
    found = camfast.Explainer(model, "1", "respond", relu=False, size="grid", create_graph=create_graph)(x, 1).maps
    assert oracle.relative_error(found.detach(), oracle.grid(model, x, "1", 1, "respond")) < 1e-10
    if create_graph:
        found.square().sum().backward()
        assert model[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("create_graph", [True, False])
@pytest.mark.parametrize("stage", STAGES_OF_ANY_MODEL)
def test_nothing_of_a_failed_call_stays_in_memory(stage: str, create_graph: bool) -> None:
    alive: list[weakref.ref[Tensor]] = []
    model = sequential()
    model[0].register_forward_hook(lambda *call: alive.append(weakref.ref(call[-1])))
    options, target = STAGES[stage]()
    explainer = camfast.Explainer(model, "1", create_graph=create_graph, **options)
    with pytest.raises(FAILURES):
        explainer(images(), target)
    gc.collect()  # an error and its traceback may hold each other
    assert [reference() for reference in alive] == [None]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_in_the_callers_own_step(mode: Callable[[], object]) -> None:
    model = sequential(Apply(_fail))
    with mode(), untouched(model), pytest.raises(_FailureError), camfast.capture(model, "1"):  # type: ignore[attr-defined]
        model(images())


@pytest.mark.parametrize("options", [{"sigma": (1.0, 1.0, 1.0), "upsample": "gaussian"}, {"backend": "cuda"}])
def test_the_callers_own_step_after_a_map_that_failed(options: dict[str, Any]) -> None:
    """In the map or in the backward pass: the step's graph is there still, and so is its gradient."""
    model, x = nn.Sequential(*sequential()[:2], nn.ReLU(), head()), images()
    twin = nn.Sequential(*model)
    expected = torch.autograd.grad(twin(x).square().sum(), list(model.parameters()))
    with untouched(model):
        with camfast.capture(model, "1") as captured:
            scores = model(x)
        with pytest.raises((ValueError, camfast.BackendError)):
            captured.map(scores[:, 1], **options)
        with pytest.raises(_FailureError):
            captured.map(_fail_in_backward(scores))
        found = captured.map(scores[:, 1], relu=False, size="grid")
    assert oracle.relative_error(found, oracle.grid(model, x, "1", 1)) < 1e-12
    scores.square().sum().backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient)
