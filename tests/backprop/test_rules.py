"""The rules at activation functions: however they are written, wherever they stand, and where they don't belong."""

import gc
import threading
import warnings
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import camfast
from tests.backprop import reference
from tests.backprop.test_saliency import EXACT, MAPS
from tests.oracle import relative_error

CHANNELS, CLASSES = 4, 5


def _zero(x: Tensor) -> Tensor:
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
    "clamp(min=tensor)": lambda x: x.clamp(min=_zero(x)),
    "clamp_": lambda x: x.clamp_(min=0),
    "clip": lambda x: x.clip(0),
    "clip_": lambda x: torch.clip_(x, 0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clamp_min_": lambda x: x.clamp_min_(0),
    "torch.clamp_min": lambda x: torch.clamp_min(x, _zero(x)),
    "maximum(x, 0)": lambda x: torch.maximum(x, _zero(x)),
    "maximum(0, x)": lambda x: torch.maximum(torch.zeros_like(x), x),
    "torch.max": lambda x: torch.max(x, torch.zeros_like(x)),
    "fmax": lambda x: torch.fmax(x, _zero(x)),
}


class Act(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _layers(*activations: nn.Module) -> nn.Sequential:
    """Three activations between convolutions and dense layers, some of whose inputs are exactly 0."""
    torch.manual_seed(0)
    first, second, third = activations
    model = nn.Sequential(
        nn.Conv1d(2, CHANNELS, 3), first, nn.Conv1d(CHANNELS, CHANNELS, 3), nn.ReLU(), nn.MaxPool1d(1), second,
        nn.Flatten(), nn.Linear(16, 8), third, nn.Linear(8, CLASSES),
    )  # fmt: skip
    return model.double().eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(3, 2, 8, dtype=torch.float64)


@pytest.mark.parametrize("form", RELUS)
@pytest.mark.parametrize("rule", MAPS)
def test_every_form_of_relu(rule: str, form: str, x: Tensor) -> None:
    expected = reference.of_class(_layers(nn.ReLU(), nn.ReLU(), nn.ReLU()), x, 3, rule)
    model = _layers(*(Act(RELUS[form]) for _ in range(3)))
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
    expected = reference.of_class(_layers(nn.ReLU(), nn.ReLU(), nn.ReLU()), x, 3, rule)

    def through_views(a: Tensor) -> Tensor:
        RELUS[form](a[:, :2])
        RELUS[form](a[:, 2:].flatten(1)).shape  # noqa: B018 (what the view sees, the tensor sees)
        RELUS[form](a[:, 2:])
        return a

    model = _layers(Act(through_views), nn.ReLU(), Act(RELUS[form]))
    model[7] = nn.Sequential(model[7], nn.Unflatten(1, (2, 4)), nn.Flatten())  # the last one has a view as its input
    assert relative_error(MAPS[rule](model, x, 3), expected) < EXACT


def test_in_place_keeps_its_meaning_for_others(x: Tensor) -> None:
    def shared(a: Tensor) -> Tensor:
        view = a.view(len(a), -1)
        nn.ReLU(inplace=True)(view)
        return a + view.view_as(a)

    model = _layers(Act(shared), nn.ReLU(), nn.ReLU())
    twin = _layers(Act(lambda a: 2 * a.relu()), nn.ReLU(), nn.ReLU())
    for rule in MAPS:
        assert relative_error(MAPS[rule](model, x, 3), MAPS[rule](twin, x, 3)) < EXACT


def test_the_inputs_are_not_written_to(x: Tensor) -> None:
    model, before = nn.Sequential(nn.ReLU(inplace=True), _layers(nn.ReLU(), nn.ReLU(), nn.ReLU())), x.clone()
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
    model = _layers(nn.GELU(), nn.SiLU(), nn.GELU())
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
    model = _layers(nn.Tanh(), nn.Sigmoid(), nn.Tanh())
    model[3] = nn.Identity()
    said = r"no ReLU and no like activation was met, so this is the plain gradient; the graph has: .*Tanh \(2\)"
    with pytest.warns(camfast.ActivationRuleWarning, match=said) as caught:
        found = MAPS[rule](model, x, "all")
    assert len(caught) == 1
    assert relative_error(found, camfast.saliency(model, x, "all")) < EXACT


def test_what_is_no_rectifier_keeps_its_gradient(x: Tensor) -> None:
    limit = torch.zeros(CHANNELS, 1, dtype=torch.float64, requires_grad=True)
    others = (
        lambda a: a.clamp(min=-0.1), lambda a: a.clamp(-0.2, 0.2), F.hardtanh, torch.tanh, torch.abs,
        lambda a: torch.maximum(a, a.flip(1)), lambda a: torch.maximum(a, torch.full_like(a, 0.1)),
        lambda a: torch.maximum(a, limit), F.hardsigmoid,
    )  # fmt: skip
    for other in others:
        model, plain = (_layers(Act(other), nn.Identity(), nn.Identity()) for _ in range(2))
        model[3], plain[3] = nn.ReLU(), Act(lambda a: _Guided.apply(a))
        leaf = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(plain(leaf).sum(), leaf)
        assert relative_error(camfast.guided_backprop(model, x, lambda scores: scores.sum(1)), expected) < EXACT


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx, g):
        return g.relu() * (ctx.saved_tensors[0] > 0)


def test_a_custom_function_is_named(x: Tensor) -> None:
    model = _layers(Act(_Guided.apply), nn.ReLU(), nn.ReLU())
    with pytest.warns(camfast.ActivationRuleWarning, match=r"inside of _Guided can't be seen, and gave its plain grad"):
        camfast.deconvnet(model, x)


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
@pytest.mark.parametrize("form", ["F.relu", "clamp_", "maximum(x, 0)", "F.relu_ on a view"])
def test_checkpoints(rule: str, form: str, x: Tensor) -> None:
    def relu(a: Tensor) -> Tensor:
        return F.relu_(a.view(-1)).view_as(a) if form.endswith("view") else RELUS[form](a)

    model = _layers(Act(relu), Act(relu), Act(relu))
    expected = reference.of_class(_layers(nn.ReLU(), nn.ReLU(), nn.ReLU()), x, 3, rule)
    blocks = Act(lambda a: checkpoint(model[4:], checkpoint(model[:4], a, use_reentrant=False), use_reentrant=False))
    for frozen in (False, True):
        model.requires_grad_(not frozen)
        assert relative_error(MAPS[rule](blocks, x, 3), expected) < EXACT
        assert relative_error(MAPS[rule](blocks, x, "all")[:, 3], expected) < EXACT


@pytest.mark.parametrize("name", ["ELU", "LeakyReLU"])
def test_in_place_on_a_view_inside_of_a_checkpoint(name: str, x: Tensor) -> None:
    """The block is computed again, without what takes the activation apart."""
    activation = OTHERS[f"{name} in place"][0]

    def through_view(a: Tensor) -> Tensor:
        activation(a.view(-1))
        return a

    model = _layers(Act(through_view), nn.ReLU(), Act(through_view))
    blocks = Act(lambda a: checkpoint(model, a, use_reentrant=False))
    twin = _layers(OTHERS[name][0], nn.ReLU(), OTHERS[name][0])
    with pytest.warns(camfast.ActivationRuleWarning, match=f"{name} passed"):
        found, expected = (camfast.guided_backprop(either, x, 3) for either in (blocks, twin))
    assert relative_error(found, expected) < EXACT


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_torchscript_is_named(x: Tensor) -> None:
    model = _layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
    scripted = nn.Sequential(model[:7], torch.jit.script(model[7:]))
    for _ in range(3):  # its graph closes when it has been run
        scripted(x)
    with pytest.warns(camfast.ActivationRuleWarning, match="the inside of TorchScript can't be seen") as caught:
        camfast.guided_backprop(scripted, x, 3)
    assert len(caught) == 1
    assert relative_error(camfast.saliency(scripted, x, 3), reference.of_class(model, x, 3, "saliency")) < EXACT


def test_a_reentrant_checkpoint_is_refused(x: Tensor) -> None:
    model = _layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
    blocks = Act(lambda a: checkpoint(model, a, use_reentrant=True))
    with (
        pytest.warns(camfast.ActivationRuleWarning, match="CheckpointFunction can't be seen"),
        pytest.raises(camfast.CaptureError, match=r"re-entrant checkpointing .*use_reentrant=False"),
    ):
        camfast.guided_backprop(blocks, x, 3)


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_a_transformer(rule: str) -> None:
    """The activation inside of a layer that torch may run by a fused kernel."""
    model = nn.Sequential(
        nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True), nn.Flatten(), nn.Linear(12, 2)
    )
    model, x = model.double().eval(), torch.randn(2, 3, 4, dtype=torch.float64)
    layer = model[0]
    found = MAPS[rule](model, x, 1)
    leaf = x.clone().requires_grad_()
    a = layer.norm1(leaf + layer.self_attn(leaf, leaf, leaf, need_weights=False)[0])
    hidden = layer.linear1(a)
    rectified = hidden.relu()
    by_rule = rectified if rule == "guided" else hidden + (rectified - hidden).detach()
    by_rule.register_hook(lambda g: g.relu())
    scores = model[2](layer.norm2(a + layer.linear2(by_rule)).flatten(1))
    (expected,) = torch.autograd.grad(scores[:, 1].sum(), leaf)
    assert relative_error(found, expected) < EXACT


@pytest.mark.parametrize("part", [slice(None), slice(0, 5)])
def test_a_compiled_model(part: slice, x: Tensor) -> None:
    plain = _layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
    compiled = torch.compile(plain[part], backend="eager")
    with torch.no_grad():
        compiled(x)
    model = nn.Sequential(compiled, plain[5:]) if part.stop else compiled
    assert relative_error(camfast.guided_backprop(model, x, 3), reference.of_class(plain, x, 3, "guided")) < EXACT
    torch.compiler.reset()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("frozen", [True, False])
def test_grad_modes(mode: Callable[[], object], frozen: bool, x: Tensor) -> None:
    model = _layers(nn.ReLU(), nn.ReLU(), nn.ReLU()).requires_grad_(not frozen)
    expected = {rule: reference.of_class(model, x, 3, rule) for rule in MAPS}
    with mode():  # type: ignore[attr-defined]
        for rule, explain in MAPS.items():
            found = explain(model, x.clone(), 3)
            assert not found.requires_grad
            assert relative_error(found.clone(), expected[rule]) < EXACT
    assert all(parameter.grad is None for parameter in model.parameters())


def test_parameters_of_inference_mode(x: Tensor) -> None:
    with torch.inference_mode():
        model = _layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
    with pytest.raises(camfast.CaptureError, match="parameters of the model were made under inference_mode"):
        camfast.saliency(model, x)


def test_autocast(x: Tensor) -> None:
    model, x = _layers(nn.ReLU(), nn.ReLU(), nn.ReLU()).float(), x.float()
    expected = reference.of_class(model.double(), x.double(), 3, "guided")
    with torch.autocast("cpu", torch.bfloat16):
        found = camfast.guided_backprop(model.float(), x, 3)
    assert found.dtype == torch.float32
    assert relative_error(found, expected) < 0.1  # bfloat16 keeps two digits, and a mask or two may flip


def test_threads(x: Tensor) -> None:
    """Each thread its own rule on one model, among threads that only use it."""
    model = _layers(nn.ReLU(), Act(F.relu), nn.ReLU(inplace=True))
    twin = _layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
    expected = {rule: reference.of_class(twin, x, 3, rule) for rule in MAPS}
    errors: list[float] = []

    def work(rule: str) -> None:
        errors.extend(relative_error(MAPS[rule](model, x, 3), expected[rule]) for _ in range(30))

    def use() -> None:
        for _ in range(30):
            leaf = x.clone().requires_grad_()
            (plain,) = torch.autograd.grad(model(leaf)[:, 3].sum(), leaf)
            errors.append(relative_error(plain, expected["saliency"]))

    threads = [threading.Thread(target=work, args=(rule,)) for rule in MAPS] + [threading.Thread(target=use)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 120
    assert max(errors) < EXACT


class _FailureError(Exception):
    pass


def test_nothing_is_left_behind(x: Tensor) -> None:
    def fail(scores: Tensor) -> Tensor:
        raise _FailureError

    model = _layers(nn.ReLU(), nn.BatchNorm1d(CHANNELS), nn.ReLU()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", camfast.TrainingModeWarning)
        for explain in MAPS.values():
            explain(model, x, "all")
            with pytest.raises(_FailureError):
                explain(model, x, fail)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._backward_hooks
        assert not module._forward_pre_hooks
    leaf = x.clone().requires_grad_()
    (plain,) = torch.autograd.grad(model.eval()(leaf)[:, 3].sum(), leaf)
    assert relative_error(plain, camfast.saliency(model, x, 3)) < EXACT
    assert torch.overrides._get_current_function_mode() is None
    assert torch.is_grad_enabled()


def test_the_graph_is_let_go(x: Tensor) -> None:
    seen: list[weakref.ref[Tensor]] = []

    def relu(a: Tensor) -> Tensor:
        seen.append(weakref.ref(a))
        return torch.maximum(a, _zero(a))

    model = _layers(Act(relu), Act(relu), Act(relu))
    for explain in MAPS.values():
        explain(model, x, "all")
    camfast.attentive_response(model, x, "2", 2)
    gc.collect()
    assert len(seen) == 3 * 3 + 3
    assert not any(ref() is not None for ref in seen)


def test_the_models_own_hooks_are_no_activations(x: Tensor) -> None:
    fired: list[nn.Module] = []
    model = _layers(nn.ReLU(), nn.ReLU(), nn.ReLU())

    def hook(module: nn.Module, inputs: object, outputs: object) -> None:
        fired.append(module)

    for module in model:
        module.register_full_backward_hook(hook)
    assert relative_error(camfast.deconvnet(model, x, 3), reference.of_class(model, x, 3, "deconvnet")) < EXACT
    assert len(fired) == len(model)


def test_nan_comes_out_in_its_own_sample(x: Tensor) -> None:
    model = _layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
    x[1, 0, 3] = torch.nan
    for explain in MAPS.values():
        missing = explain(model, x, lambda scores: scores[:, 3] * scores[:, 3]).isnan().flatten(1).any(1)
        assert missing.tolist() == [False, True, False]
