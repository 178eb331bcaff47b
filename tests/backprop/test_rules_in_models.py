"""The rules in whole models: checkpoints, transformers, compiled parts, threads, and what is left behind."""

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
from tests.backprop.test_rules import CHANNELS, OTHERS, RELUS, Act, Guided, layers, zero
from tests.backprop.test_saliency import EXACT, MAPS
from tests.oracle import relative_error


def test_a_custom_function_is_named(x: Tensor) -> None:
    model = layers(Act(Guided.apply), nn.ReLU(), nn.ReLU())
    with pytest.warns(camfast.ActivationRuleWarning, match=r"inside of Guided can't be seen, and gave its plain grad"):
        camfast.deconvnet(model, x)


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
@pytest.mark.parametrize("form", ["F.relu", "clamp_", "maximum(x, 0)", "F.relu_ on a view"])
def test_checkpoints(rule: str, form: str, x: Tensor) -> None:
    def relu(a: Tensor) -> Tensor:
        return F.relu_(a.view(-1)).view_as(a) if form.endswith("view") else RELUS[form](a)

    model = layers(Act(relu), Act(relu), Act(relu))
    expected = reference.of_class(layers(nn.ReLU(), nn.ReLU(), nn.ReLU()), x, 3, rule)
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

    model = layers(Act(through_view), nn.ReLU(), Act(through_view))
    blocks = Act(lambda a: checkpoint(model, a, use_reentrant=False))
    twin = layers(OTHERS[name][0], nn.ReLU(), OTHERS[name][0])
    with pytest.warns(camfast.ActivationRuleWarning, match=f"{name} passed"):
        found, expected = (camfast.guided_backprop(either, x, 3) for either in (blocks, twin))
    assert relative_error(found, expected) < EXACT


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_torchscript_is_named(x: Tensor) -> None:
    model = layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
    scripted = nn.Sequential(model[:7], torch.jit.script(model[7:]))
    for _ in range(3):  # its graph closes when it has been run
        scripted(x)
    with pytest.warns(camfast.ActivationRuleWarning, match="the inside of TorchScript can't be seen") as caught:
        camfast.guided_backprop(scripted, x, 3)
    assert len(caught) == 1
    assert relative_error(camfast.saliency(scripted, x, 3), reference.of_class(model, x, 3, "saliency")) < EXACT


def test_a_reentrant_checkpoint_is_refused(x: Tensor) -> None:
    model = layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
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
    plain = layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
    compiled = torch.compile(plain[part], backend="eager")
    with torch.no_grad():
        compiled(x)
    model = nn.Sequential(compiled, plain[5:]) if part.stop else compiled
    assert relative_error(camfast.guided_backprop(model, x, 3), reference.of_class(plain, x, 3, "guided")) < EXACT
    torch.compiler.reset()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("frozen", [True, False])
def test_grad_modes(mode: Callable[[], object], frozen: bool, x: Tensor) -> None:
    model = layers(nn.ReLU(), nn.ReLU(), nn.ReLU()).requires_grad_(not frozen)
    expected = {rule: reference.of_class(model, x, 3, rule) for rule in MAPS}
    with mode():  # type: ignore[attr-defined]
        for rule, explain in MAPS.items():
            found = explain(model, x.clone(), 3)
            assert not found.requires_grad
            assert relative_error(found.clone(), expected[rule]) < EXACT
    assert all(parameter.grad is None for parameter in model.parameters())


def test_parameters_of_inference_mode(x: Tensor) -> None:
    with torch.inference_mode():
        model = layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
    with pytest.raises(camfast.CaptureError, match="parameters of the model were made under inference_mode"):
        camfast.saliency(model, x)


def test_autocast(x: Tensor) -> None:
    model, x = layers(nn.ReLU(), nn.ReLU(), nn.ReLU()).float(), x.float()
    expected = reference.of_class(model.double(), x.double(), 3, "guided")
    with torch.autocast("cpu", torch.bfloat16):
        found = camfast.guided_backprop(model.float(), x, 3)
    assert found.dtype == torch.float32
    assert relative_error(found, expected) < 0.1  # bfloat16 keeps two digits, and a mask or two may flip


def test_threads(x: Tensor) -> None:
    """Each thread its own rule on one model, among threads that only use it."""
    model = layers(nn.ReLU(), Act(F.relu), nn.ReLU(inplace=True))
    twin = layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
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

    model = layers(nn.ReLU(), nn.BatchNorm1d(CHANNELS), nn.ReLU()).train()
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
        return torch.maximum(a, zero(a))

    model = layers(Act(relu), Act(relu), Act(relu))
    for explain in MAPS.values():
        explain(model, x, "all")
    camfast.attentive_response(model, x, "2", 2)
    gc.collect()
    assert len(seen) == 3 * 3 + 3
    assert not any(ref() is not None for ref in seen)


def test_the_models_own_hooks_are_no_activations(x: Tensor) -> None:
    fired: list[nn.Module] = []
    model = layers(nn.ReLU(), nn.ReLU(), nn.ReLU())

    def hook(module: nn.Module, inputs: object, outputs: object) -> None:
        fired.append(module)

    for module in model:
        module.register_full_backward_hook(hook)
    assert relative_error(camfast.deconvnet(model, x, 3), reference.of_class(model, x, 3, "deconvnet")) < EXACT
    assert len(fired) == len(model)


def test_nan_comes_out_in_its_own_sample(x: Tensor) -> None:
    model = layers(nn.ReLU(), nn.ReLU(), nn.ReLU())
    x[1, 0, 3] = torch.nan
    for explain in MAPS.values():
        missing = explain(model, x, lambda scores: scores[:, 3] * scores[:, 3]).isnan().flatten(1).any(1)
        assert missing.tolist() == [False, True, False]
