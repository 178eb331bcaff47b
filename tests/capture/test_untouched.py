"""What a model is like after an explanation: as before, bit for bit, and so are the caller's graphs and settings."""

import gc
import weakref

import pytest
import torch
from torch import Tensor, nn

import camfast
from tests import oracle
from tests.capture.networks import CHANNELS, Apply, Wired, conv, head, images, sequential
from tests.capture.untouched import Counting, busy, untouched

# what is tested holds in training mode too
pytestmark = pytest.mark.filterwarnings("ignore::camfast.errors.TrainingModeWarning")


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("options", [{}, {"create_graph": True}])
@pytest.mark.parametrize("target", ["predicted", "all"])
def test_after_an_explanation(train: bool, options: dict[str, bool], target: str) -> None:
    model = busy().train(train).requires_grad_(True)
    model[0].bias.requires_grad_(False)
    x = images()
    with untouched(model):
        for layer in ("1", "0", ["2", "4", "1"]):
            camfast.Explainer(model, layer, **options)(x, target)
    assert x.grad is None
    assert not x.requires_grad


def test_shared_buffers_stay_shared_within_the_run() -> None:
    model, x = busy().eval(), images()
    assert oracle.relative_error(
        camfast.cam(model, x, "1", 1, relu=False, size="grid"), oracle.grid(model, x, "1", 1)
    ) < 1e-12  # fmt: skip


def test_a_cache_that_the_model_makes_anew_is_left_to_it() -> None:
    model, x = sequential(Counting(torch.ones(1))).eval(), images()
    camfast.cam(model, x, "1")
    assert model[2].table.shape == (8,)  # what else the module remembers about its table would not fit the old one


@pytest.mark.parametrize("train", [True, False])
def test_in_training_mode_the_map_is_that_of_training(train: bool) -> None:
    model, x = sequential(nn.BatchNorm2d(CHANNELS)).train(train), images()
    found = camfast.cam(model, x, "1", 1, method="hirescam", relu=False, size="grid")
    assert oracle.relative_error(found, oracle.grid(model, x, "1", 1, "hirescam")) < 1e-12


def test_dropout_is_drawn_once() -> None:
    model, x = sequential(nn.Dropout(0.5)).train(), images()
    torch.manual_seed(3)
    found = camfast.cam(model, x, "1", 1, relu=False, size="grid")
    torch.manual_seed(3)
    assert oracle.relative_error(found, oracle.grid(model, x, "1", 1)) < 1e-12


def test_the_callers_graphs_stay_usable() -> None:
    model = sequential(nn.BatchNorm2d(CHANNELS), Counting(torch.ones(1)).requires_grad_(False)).train()
    model[3].forward = lambda x: x * model[3].scale  # keeps a buffer for its backward
    x = images()
    loss = model(x).square().sum()
    expected = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    camfast.cam(model, x, "1", 1)
    loss.backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_a_layer_with_buffers_in_the_head() -> None:
    """Such as torchvision's FrozenBatchNorm2d, which multiplies by buffers that autograd keeps."""
    scale = torch.rand(CHANNELS, 1, 1, dtype=torch.float64)
    model = sequential(Apply(torch.tanh))
    model[2].register_buffer("scale", scale)
    model[2].function = lambda x: x * model[2].scale
    x = images()
    found = camfast.cam(model, x, "1", 1, relu=False, size="grid")
    twin = nn.Sequential(model[0], model[1], Apply(lambda a: a * scale), model[3])
    assert oracle.relative_error(found, oracle.grid(twin, x, "1", 1)) < 1e-12


def test_frozen_models() -> None:
    model, x = sequential(nn.BatchNorm2d(CHANNELS)).eval().requires_grad_(False), images()
    expected = oracle.grid(model, x, "1", 1)
    with untouched(model):
        assert oracle.relative_error(camfast.cam(model, x, "1", 1, relu=False, size="grid"), expected) < 1e-12


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_models_of_each_precision(dtype: torch.dtype, tolerance: float) -> None:
    model = sequential(nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True)).eval().to(dtype)
    x = images().to(dtype)
    for target in (1, "all"):
        result = camfast.Explainer(model, "1", relu=False, size="grid")(x, target)
        assert result.maps.dtype == torch.float32
        assert result.scores.dtype == dtype
        found = result.maps if target == 1 else result.maps[:, 1]
        assert oracle.relative_error(found, oracle.grid(model, x, "1", 1)) < tolerance


@pytest.mark.parametrize("decorated", [True, False])
def test_under_autocast(decorated: bool) -> None:
    """And the caller's training step in the same context still reaches every weight."""

    class Decorated(Wired):
        @torch.autocast("cpu", dtype=torch.bfloat16)
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    kind = Decorated if decorated else Wired
    model = kind(lambda self, x: self.head(self.layer(x).relu()), stem=nn.Identity()).float()
    twin = Wired(model.wiring).float()
    twin.load_state_dict(model.state_dict())
    x = images().float()
    with torch.autocast("cpu", dtype=torch.bfloat16), untouched(model):
        found = camfast.cam(model, x, "layer", 1, relu=False, size="grid")
        gradients = torch.autograd.grad(model(x).float().sum(), list(model.parameters()))
    assert found.dtype == torch.float32
    assert oracle.relative_error(found, oracle.grid(twin, x, "layer", 1)) < 0.05
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = torch.autograd.grad(twin(x).float().sum(), list(twin.parameters()))
    for gradient, other in zip(gradients, expected, strict=True):
        assert torch.equal(gradient, other)


def test_casts_made_without_a_graph_do_not_enter_the_callers_cache() -> None:
    seen: list[bool] = []
    model = sequential().float()
    model[1].register_forward_hook(lambda *_: seen.append(torch.is_autocast_cache_enabled()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        camfast.cam(model, images().float(), "1", 1)
        assert torch.is_autocast_cache_enabled()
    assert seen == [False]


def test_inputs_that_require_grad() -> None:
    model, x = sequential(), images().requires_grad_()
    expected = oracle.grid(model, x.detach(), "1", 1)
    result = camfast.Explainer(model, "1", relu=False, size="grid")(x, 1)
    assert oracle.relative_error(result.maps, expected) < 1e-12
    assert x.grad is None
    for part in (result.maps, result.grid, result.scores, result.weights, result.residual):
        assert not part.requires_grad


def test_the_users_own_hooks_are_heard_first() -> None:
    model, x = nn.Sequential(conv(), nn.ReLU(), head()), images()
    model[1].register_forward_hook(lambda *call: call[-1] * 2)
    twin = nn.Sequential(model[0], Apply(lambda a: a.relu() * 2), model[2])
    assert oracle.relative_error(
        camfast.cam(model, x, "1", 1, relu=False, size="grid"), oracle.grid(twin, x, "1", 1)
    ) < 1e-12  # fmt: skip


def test_nothing_of_a_run_stays_in_memory() -> None:
    model, x = sequential(nn.ReLU(inplace=True)), images()
    alive: list[weakref.ref[Tensor]] = []
    model[1].register_forward_hook(lambda *call: alive.append(weakref.ref(call[-1])))
    gc.collect()
    gc.disable()  # what only a collection would free counts as kept
    try:
        for layer, target in (("1", 1), ("1", "all"), (["0", "1"], 1)):
            result = camfast.Explainer(model, layer)(x, target)
            assert [reference() for reference in alive] == [None] * len(alive)
            assert len(alive) > 0
        del result
        with camfast.capture(model, "1") as captured:
            scores = model(x)
        captured.map(scores)
        del captured, scores
        assert [reference() for reference in alive] == [None] * len(alive)
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("train", [True, False])
def test_statistics_of_a_scripted_part(train: bool) -> None:
    norm = nn.BatchNorm2d(CHANNELS).double().train(train)
    twin, x = sequential(norm).train(train), images()
    model = nn.Sequential(twin[0], twin[1], torch.jit.script(norm), twin[3])
    with untouched(model):
        found = camfast.cam(model, x, "1", 1, relu=False, size="grid")
    assert oracle.relative_error(found, oracle.grid(twin, x, "1", 1)) < 1e-12


def test_by_maps_without_a_graph_and_by_units() -> None:
    model = sequential(nn.BatchNorm2d(CHANNELS), Counting(torch.ones(CHANNELS, 1, 1)), nn.ReLU(inplace=True)).train()
    x = images(3)
    unit = camfast.Unit("5.1", 3)
    with untouched(model):
        for method, target in (
            ("eigencam", "all"),
            ("eigencam", unit),
            ("eigengradcam", [unit, unit]),
            ("gradcam", unit),
        ):
            camfast.cam(model, x, "3", target, method=method)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="method='cam' needs scores"):
            camfast.cam(model, x, "1", method="cam")
        with pytest.raises(ValueError, match="out of range"):
            camfast.cam(model, x, "1", camfast.Unit("5.1", 8))
    pooled = nn.Sequential(*model[:3], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(CHANNELS, 5)).double()
    with untouched(pooled):
        camfast.cam(pooled, x, "2", "all", method="cam")


def test_a_pass_that_is_repeated_draws_the_same_numbers() -> None:
    """An in-place ReLU behind the layer defeats the first pass; chance is where a plain run leaves it."""
    model, x = nn.Sequential(nn.Dropout(0.5), sequential()).train(), images()
    model[1][1] = nn.ReLU(inplace=True)
    torch.manual_seed(3)
    found = camfast.cam(model, x, "1.0", 1, relu=False, size="grid")
    after = torch.get_rng_state()
    torch.manual_seed(3)
    assert oracle.relative_error(found, oracle.grid(model, x, "1.0", 1)) < 1e-12
    torch.manual_seed(3)
    model(x)
    assert torch.equal(after, torch.get_rng_state())
