"""Gradients of many targets: in one batch, in chunks, or one by one, always the same numbers."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import camfast
from camfast import gradients
from camfast.gradients import target_gradients
from tests import oracle
from tests.capture.networks import CHANNELS, Apply, images, sequential


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Number of targets of each derivative that was tried, and whether it was batched."""
    tried: list[tuple[int, bool]] = []
    grad = torch.autograd.grad

    def counting(outputs: Any, inputs: Any, *args: Any, is_grads_batched: bool = False, **options: Any) -> Any:
        tried.append((len(args[0]) if is_grads_batched else 1, is_grads_batched))
        return grad(outputs, inputs, *args, is_grads_batched=is_grads_batched, **options)

    monkeypatch.setattr(torch.autograd, "grad", counting)
    return tried


class _Cube(torch.autograd.Function):
    """Known to numpy alone: no batching rule can be found."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.from_numpy(x.detach().numpy() ** 3)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return torch.from_numpy(gradient.detach().numpy() * 3 * x.detach().numpy() ** 2)


HEADS: dict[str, tuple[Callable[[], nn.Module], list[tuple[int, bool]]]] = {
    "dense": (lambda: nn.Tanh(), [(5, True)]),
    "pooled": (lambda: nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2)), [(5, True)]),
    "normalised": (lambda: nn.GroupNorm(2, CHANNELS), [(5, True)]),
    "convolution": (lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), [(1, False)] * 5),
    "transposed": (lambda: nn.ConvTranspose2d(CHANNELS, CHANNELS, 1), [(1, False)] * 5),
    "without a batching rule": (lambda: Apply(_Cube.apply), [(5, True)] + [(1, False)] * 5),
}


@pytest.mark.parametrize(("make", "expected"), HEADS.values(), ids=HEADS)
def test_all_targets_equal_single_ones(
    make: Callable[[], nn.Module], expected: list[tuple[int, bool]], batches: list[tuple[int, bool]]
) -> None:
    model, x = sequential(make()).eval(), images(3)
    for method in ("gradcam", "layercam"):
        explainer = camfast.Explainer(model, "1", method, relu=False, size="grid")
        batches.clear()
        together = explainer(x, "all")
        assert batches == expected
        for target in range(5):
            alone = explainer(x, target)
            assert oracle.relative_error(together.maps[:, target], alone.maps) < 1e-12
            if alone.weights is not None:
                assert oracle.relative_error(together.weights[:, target], alone.weights) < 1e-12
        if make is not HEADS["without a batching rule"][0]:
            assert oracle.relative_error(alone.maps, oracle.grid(model, x, "1", 4, method)) < 1e-12


def test_a_convolution_before_the_layer_does_not_count(batches: list[tuple[int, bool]]) -> None:
    model = sequential(nn.Conv2d(CHANNELS, CHANNELS, 1), nn.Tanh())
    camfast.Explainer(model, "3", create_graph=True)(images(), "all")  # the trunk is in the graph here
    assert batches == [(5, True)]


@pytest.mark.parametrize("create_graph", [False, True])
def test_chunks_over_the_bound_of_memory(
    create_graph: bool, batches: list[tuple[int, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = sequential(nn.Tanh()), images()
    for method, layer in (("respond", "1"), ("hirescam", ["1", "2"])):
        explainer = camfast.Explainer(model, layer, method, create_graph=create_graph)  # type: ignore[arg-type]
        whole = explainer(x, "all")
        one = 2 * CHANNELS * 64 * 8 * (1 if layer == "1" else 2)
        for bound, sizes in ((2 * one, [2, 2, 1]), (3 * one + 7, [3, 2]), (one - 1, [1] * 5), (0, [1] * 5)):
            batches.clear()
            with monkeypatch.context() as bounded:
                bounded.setattr(gradients, "CHUNK_BYTES", bound)
                parts = explainer(x, "all")
            assert [size for size, _ in batches] == sizes
            for field in ("maps", "grid", "weights", "residual", "empty", "ill_conditioned"):
                torch.testing.assert_close(getattr(parts, field), getattr(whole, field), rtol=1e-12, atol=1e-12)


def test_chunks_into_the_callers_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = sequential(), images()
    expected = camfast.cam(model, x, "1", [4, 0, 2, 2, 1])
    monkeypatch.setattr(gradients, "CHUNK_BYTES", 2 * 2 * CHANNELS * 64 * 8)
    out = torch.full((2, 5, 8, 8), torch.nan, dtype=torch.float64)
    result = camfast.Explainer(model, "1")(x, [4, 0, 2, 2, 1], out=out)
    assert result.maps is out
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


def test_gradients_by_target() -> None:
    A = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    values = torch.stack([A.square().sum((1, 2)), A.sum((1, 2)) * 3, A[:, 0, 0]], 1)
    expected = torch.zeros(3, 3, 4, 5, dtype=torch.float64)
    expected[0], expected[1], expected[2, :, 0, 0] = 2 * A.detach(), 3, 1
    ((part, (G,)),) = target_gradients(values, [A])
    assert part == slice(0, 3)
    assert torch.equal(G, expected)


def test_a_target_that_is_independent_of_the_layer_has_no_gradient() -> None:
    A = torch.randn(2, 3, 4, requires_grad=True)
    other = torch.randn(2, requires_grad=True)
    ((_, (G,)),) = target_gradients(torch.stack([A.sum((1, 2)), other], 1), [A])
    assert G[0].eq(1).all()
    assert G[1].eq(0).all()
    with pytest.raises(camfast.CaptureError, match="the scores don't depend on the layer"):
        list(target_gradients(other[:, None] * 2, [A]))
    with pytest.raises(camfast.CaptureError, match="the scores don't depend on the layer"):
        list(target_gradients(torch.stack([other, other * 2], 1), [A]))


def test_the_graph_is_kept_where_it_is_asked_for() -> None:
    A = torch.randn(2, 3, 4, requires_grad=True)
    values = A.square().sum(2)
    list(target_gradients(values, [A], retain_graph=True))
    list(target_gradients(values[:, :1], [A], retain_graph=True))
    values.sum().backward()
    assert A.grad is not None


def test_an_error_of_the_backward_pass_is_not_hidden() -> None:
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
            raise RuntimeError("no derivative of this")

    model = sequential(Apply(Broken.apply))
    for target in (1, "all"):
        with pytest.raises(RuntimeError, match="no derivative of this"):
            camfast.Explainer(model, "1")(images(), target)


@pytest.mark.parametrize(
    "operation",
    [
        lambda a: F.adaptive_max_pool2d(a, 8), lambda a: a.sort(-1)[0], lambda a: a.cumprod(-1) + a.cumsum(-2),
        lambda a: F.interpolate(a, scale_factor=1.0, mode="bicubic"), nn.LocalResponseNorm(2),
        lambda a: torch.fft.rfft2(a).abs()[..., [0, 1, 2, 3, 3, 2, 1, 0]], nn.PReLU().double(), nn.Softmax2d(),
        lambda a: a[:, :, torch.arange(8).flip(0)], lambda a: F.lp_pool2d(F.pad(a, (0, 1, 0, 1)), 2, 2, 1),
        lambda a: F.scaled_dot_product_attention(a, a, a),
    ],
)  # fmt: skip
def test_the_batched_derivative_of_many_operations(operation: Callable[[Tensor], Tensor]) -> None:
    model, x = sequential(Apply(operation)), images()
    together = camfast.Explainer(model, "1", "hirescam", relu=False, size="grid")(x, "all").maps
    for target in range(5):
        expected = oracle.grid(model, x, "1", target, "hirescam")
        assert oracle.relative_error(together[:, target], expected) < 1e-10
