"""The rules at activation functions: however they are written, and what is said of those that are no ReLU."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import camfast
from tests.backprop import reference
from tests.backprop.test_saliency import EXACT, MAPS
from tests.oracle import relative_error

CHANNELS, CLASSES = 4, 5


def zero(x: Tensor) -> Tensor:
    return torch.zeros((), dtype=x.dtype)


RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "nn.Threshold": nn.Threshold(0, 0),
    "nn.Threshold in place": nn.Threshold(0, 0, inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu_": F.relu_,
    "F.threshold": lambda x: F.threshold(x, 0, 0),
    "F.threshold_": lambda x: F.threshold_(x, 0.0, 0.0),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": Tensor.relu,
    "Tensor.relu_": Tensor.relu_,
    "clamp(min=0)": lambda x: x.clamp(min=0),
    "clamp(0)": lambda x: x.clamp(0.0),
    "clamp(min=tensor)": lambda x: x.clamp(min=zero(x)),
    "clamp_": lambda x: x.clamp_(min=0),
    "clip": lambda x: x.clip(0),
    "clip_": lambda x: torch.clip_(x, 0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clamp_min_": lambda x: x.clamp_min_(0),
    "torch.clamp_min": lambda x: torch.clamp_min(x, zero(x)),
    "maximum(x, 0)": lambda x: torch.maximum(x, zero(x)),
    "maximum(0, x)": lambda x: torch.maximum(torch.zeros_like(x), x),
    "torch.max": lambda x: torch.max(x, torch.zeros_like(x)),
    "fmax": lambda x: torch.fmax(x, zero(x)),
}


class Act(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def layers(*activations: nn.Module) -> nn.Sequential:
    """Three activations between convolutions and dense layers, some of whose inputs are exactly 0."""
    torch.manual_seed(0)
    first, second, third = activations
    model = nn.Sequential(
        nn.Conv1d(2, CHANNELS, 3), first, nn.Conv1d(CHANNELS, CHANNELS, 3), nn.ReLU(), nn.MaxPool1d(1), second,
        nn.Flatten(), nn.Linear(16, 8), third, nn.Linear(8, CLASSES),
    )  # fmt: skip
    return model.double().eval()


@pytest.mark.parametrize("form", RELUS)
@pytest.mark.parametrize("rule", MAPS)
def test_every_form_of_relu(rule: str, form: str, x: Tensor) -> None:
    expected = reference.of_class(layers(nn.ReLU(), nn.ReLU(), nn.ReLU()), x, 3, rule)
    model = layers(*(Act(RELUS[form]) for _ in range(3)))
    if rule == "saliency" and ("clamp" in form or "clip" in form or "max" in form):
        # torch's own gradient at x = 0, which stands behind the first ReLU of two, isn't that of ReLU
        model[5] = nn.ReLU()
    assert relative_error(MAPS[rule](model, x, 3), expected) < EXACT
    assert relative_error(MAPS[rule](model, x, "all")[:, 3], expected) < EXACT


IN_PLACE = {name: form for name, form in RELUS.items() if "in place" in name or name.endswith("_")}


@pytest.mark.parametrize("form", IN_PLACE)
@pytest.mark.parametrize("rule", MAPS)
def test_in_place_on_a_view(rule: str, form: str, x: Tensor) -> None:
    """A node CopySlices stands there, whose inside torch doesn't show."""
    expected = reference.of_class(layers(nn.ReLU(), nn.ReLU(), nn.ReLU()), x, 3, rule)

    def through_views(a: Tensor) -> Tensor:
        RELUS[form](a[:, :2])
        RELUS[form](a[:, 2:].flatten(1)).shape  # noqa: B018 (what the view sees, the tensor sees)
        RELUS[form](a[:, 2:])
        return a

    model = layers(Act(through_views), nn.ReLU(), Act(RELUS[form]))
    model[7] = nn.Sequential(model[7], nn.Unflatten(1, (2, 4)), nn.Flatten())  # the last one has a view as its input
    assert relative_error(MAPS[rule](model, x, 3), expected) < EXACT


def test_in_place_keeps_its_meaning_for_others(x: Tensor) -> None:
    def shared(a: Tensor) -> Tensor:
        view = a.view(len(a), -1)
        nn.ReLU(inplace=True)(view)
        return a + view.view_as(a)

    model = layers(Act(shared), nn.ReLU(), nn.ReLU())
    twin = layers(Act(lambda a: 2 * a.relu()), nn.ReLU(), nn.ReLU())
    for rule in MAPS:
        assert relative_error(MAPS[rule](model, x, 3), MAPS[rule](twin, x, 3)) < EXACT


def test_the_inputs_are_not_written_to(x: Tensor) -> None:
    model, before = nn.Sequential(nn.ReLU(inplace=True), layers(nn.ReLU(), nn.ReLU(), nn.ReLU())), x.clone()
    leaf = x.clone().requires_grad_()
    for rule in MAPS:
        found = MAPS[rule](model, leaf, 3)
        inner = reference.of_class(model[1], x.relu(), 3, rule)
        assert relative_error(found, reference.at_relu(x, inner, rule)) < EXACT
    assert torch.equal(x, before)
    assert leaf.grad is None


OTHERS: dict[str, tuple[nn.Module, str]] = {
    "ReLU6": (nn.ReLU6(), "ReLU6"),
    "clamp": (Act(lambda x: x.clamp(0, 0.3)), "ReLU6"),
    "LeakyReLU": (nn.LeakyReLU(0.2), "LeakyReLU"),
    "LeakyReLU in place": (nn.LeakyReLU(0.2, inplace=True), "LeakyReLU"),
    "PReLU": (nn.PReLU(), "PReLU"),
    "RReLU": (nn.RReLU(), "RReLU"),
    "ELU": (nn.ELU(), "ELU"),
    "ELU in place": (nn.ELU(inplace=True), "ELU"),
    "SELU": (nn.SELU(), "SELU"),
    "CELU": (nn.CELU(0.5), "CELU"),
    "Softplus": (nn.Softplus(), "Softplus"),
    "SiLU": (nn.SiLU(), "SiLU"),
    "GELU": (nn.GELU(), "GELU"),
    "GELU by tanh": (nn.GELU("tanh"), "GELU"),
    "Hardswish": (nn.Hardswish(), "Hardswish"),
    "Mish": (nn.Mish(), "Mish"),
    "Threshold": (nn.Threshold(0.1, 0.0), "Threshold"),
}


@pytest.mark.parametrize("view", [False, True])
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("rule", ["guided", "deconvnet", "linear"])
def test_other_activations(rule: str, name: str, view: bool) -> None:
    module, label = OTHERS[name]
    module = module.double().eval()
    a = torch.randn(7, 6, dtype=torch.float64).requires_grad_()
    (own,) = torch.autograd.grad(module(a.clone()).sum(), a)
    first, last = nn.Linear(6, 6).double(), nn.Linear(6, 3).double()
    with torch.no_grad():
        first.weight.copy_(torch.eye(6))  # so that the activation's input is the model's
        first.bias.zero_()
        last.bias.fill_(9)
    g = last.weight[1].expand(7, 6)
    expected = {"guided": g.relu() * own, "deconvnet": g.relu(), "linear": g}[rule]
    shape = nn.Unflatten(1, (2, 3)) if view else nn.Identity()
    model = nn.Sequential(first, shape, module, nn.Flatten(), last)
    said = "gated by the sign of the gradient, with its own derivative" if rule == "guided" else "with the derivative 1"
    explain = MAPS.get(rule, lambda model, x, unit: camfast.project(model, x, "4", unit, rule))
    with pytest.warns(camfast.ActivationRuleWarning, match=f"^{rule} rule: {label} passed .* {said}") as caught:
        found = explain(model, a.detach(), 1)
    if rule == "linear":
        expected = expected * model(a).relu()[:, 1:2]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert relative_error(found, expected.detach()) < EXACT


def test_one_warning_names_all_that_was_met(x: Tensor) -> None:
    model = layers(nn.GELU(), nn.SiLU(), nn.GELU())
    with pytest.warns(camfast.ActivationRuleWarning, match="GELU and SiLU passed") as caught:
        camfast.guided_backprop(model, x, "all")
    assert len(caught) == 1
    assert "no ReLU was met" not in str(caught[0].message)  # there is one between the two
    model[3] = nn.Identity()
    with pytest.warns(camfast.ActivationRuleWarning, match="GELU and SiLU passed .* for ReLU only and no ReLU was met"):
        camfast.guided_backprop(model, x)
    camfast.saliency(model, x)  # has no rule; a warning would be an error here


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_a_model_without_relu(rule: str, x: Tensor) -> None:
    model = layers(nn.Tanh(), nn.Sigmoid(), nn.Tanh())
    model[3] = nn.Identity()
    said = r"no ReLU and no like activation was met, so this is the plain gradient; the graph has: .*Tanh \(2\)"
    with pytest.warns(camfast.ActivationRuleWarning, match=said) as caught:
        found = MAPS[rule](model, x, "all")
    assert len(caught) == 1
    assert relative_error(found, camfast.saliency(model, x, "all")) < EXACT


class Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx, g):
        return g.relu() * (ctx.saved_tensors[0] > 0)


def test_what_is_no_rectifier_keeps_its_gradient(x: Tensor) -> None:
    limit = torch.zeros(CHANNELS, 1, dtype=torch.float64, requires_grad=True)
    others = (
        lambda a: a.clamp(min=-0.1), lambda a: a.clamp(-0.2, 0.2), F.hardtanh, torch.tanh, torch.abs,
        lambda a: torch.maximum(a, a.flip(1)), lambda a: torch.maximum(a, torch.full_like(a, 0.1)),
        lambda a: torch.maximum(a, limit), F.hardsigmoid,
    )  # fmt: skip
    for other in others:
        model, plain = (layers(Act(other), nn.Identity(), nn.Identity()) for _ in range(2))
        model[3], plain[3] = nn.ReLU(), Act(lambda a: Guided.apply(a))
        leaf = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(plain(leaf).sum(), leaf)
        assert relative_error(camfast.guided_backprop(model, x, lambda scores: scores.sum(1)), expected) < EXACT
