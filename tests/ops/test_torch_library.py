"""What torch makes of the ops: its checks of custom ops, `torch.compile`, `torch.export`, autocast and transforms."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter
from torch.fx.experimental.proxy_tensor import make_fx

import camfast
from camfast import ops
from camfast.ops.forms import FORMS
from tests.ops import cases

RESPOND = ("respond", False)
LINEAR = ([5, 6], None, "spray", [0.0, 0.0], [1.0, 1.0])
GAUSSIAN = ([5, 6], [1.5, 2.0], "average", [0.5, 0.5], [2.0, 2.0])
NONE = (None, None, "spray", [0.0, 0.0], [1.0, 1.0])


def pair(targets: int | None = None, *, recorded: bool = True) -> tuple[Tensor, Tensor]:
    A = cases.activations((2, 3, 4, 3), torch.float32) + 0.1
    G = cases.gradients((2, 3, 4, 3) if targets is None else (targets, 2, 3, 4, 3), torch.float32)
    return A.requires_grad_(recorded), G.requires_grad_(recorded)


def calls() -> Iterator[tuple[str, tuple[Any, ...]]]:
    for recorded in (False, True):
        for targets in (None, 2):
            A, G = pair(targets, recorded=recorded)
            weights = torch.randn((2, 3) if targets is None else (2, targets, 3)).requires_grad_(recorded)
            grid = torch.randn(2, 4, 3).requires_grad_(recorded)
            yield "channel_weights", (A, G, "gradcam++")
            yield "weighted_sum", (A, weights, True)
            yield "product_sum", (A, G, "gradients", True)
            yield "fused_cam", (A, G, *RESPOND, *LINEAR)
            yield "fused_cam", (A, G, "layercam", True, *GAUSSIAN)
            yield "fused_cam", (A, G, "gradcam", True, *NONE)
        yield "linear_upsample", (grid, [5, 6])
        yield "gaussian_upsample", (grid, *GAUSSIAN)
    image, table = torch.randint(0, 256, (2, 8, 9, 3), dtype=torch.uint8), torch.zeros(256, 3, dtype=torch.uint8)
    levels = torch.tensor(0.0), torch.tensor(1.0)
    yield "overlay", (image, torch.rand(2, 4, 3), table, *levels, 0.5, None, 0.0, 255.0, 0.3)
    values, index = torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.int32)
    yield "running_max", (values, index, torch.randn(2, 4), torch.tensor(3))


@pytest.mark.parametrize(("name", "arguments"), list(calls()))
def test_torch_accepts_the_op(name: str, arguments: tuple[Any, ...]) -> None:
    results = torch.library.opcheck(getattr(torch.ops.camfast, name).default, arguments)
    assert set(results.values()) == {"SUCCESS"}


@pytest.fixture
def compiled() -> Iterator[Callable[..., Any]]:
    """Compile a function as one graph, without generating code, which takes seconds and is torch's own affair."""
    torch._dynamo.reset()
    yield lambda function, **options: torch.compile(function, fullgraph=True, backend="aot_eager", **options)
    torch._dynamo.reset()


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("recorded", [False, True])
def test_compiled_functions_give_the_same(method: str, recorded: bool, compiled: Callable[..., Any]) -> None:
    def explain(A: Tensor, G: Tensor) -> Tensor:
        maps = ops.fused_cam(A * 2, G, method, size=(8, 6), upsample="gaussian", sigma=2.0)
        return maps + ops.fused_cam(A, G, method, relu=False).sum()

    A, G = pair(recorded=recorded)
    found, expected = compiled(explain)(A, G), explain(A, G)
    torch.testing.assert_close(found, expected)
    if recorded:
        for part, other in zip(
            torch.autograd.grad(found.square().sum(), (A, G), materialize_grads=True, allow_unused=True),
            torch.autograd.grad(expected.square().sum(), (A, G), materialize_grads=True, allow_unused=True),
            strict=True,
        ):
            torch.testing.assert_close(part, other)


def test_single_ops_compile(compiled: Callable[..., Any]) -> None:
    def explain(A: Tensor, G: Tensor) -> tuple[Tensor, ...]:
        weights = ops.channel_weights(A, G, "xgradcam")
        grid = ops.weighted_sum(A, weights, relu=True) + ops.product_sum(A, G, rectify="product")
        values, index = ops.running_max(grid, torch.zeros_like(grid, dtype=torch.int32), grid * 2, 5)
        image = torch.zeros(2, 8, 9, dtype=torch.uint8)
        return ops.linear_upsample(grid, (8, 9)), values, index, ops.overlay(image, grid, low=0.0, high=1.0)

    A, G = pair(recorded=False)
    for found, expected in zip(compiled(explain)(A, G), explain(A, G), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_fused_kernel_is_one_node(compiled: Callable[..., Any]) -> None:
    nodes: list[str] = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        nodes.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return graph.forward

    explain = torch.compile(lambda A, G: ops.fused_cam(A, G, "respond", size=(8, 6)), fullgraph=True, backend=backend)
    explain(*pair(recorded=False))
    assert [name for name in nodes if name.startswith("camfast")] == ["camfast.fused_cam"]


def test_dynamic_shapes_compile_once(compiled: Callable[..., Any]) -> None:
    def explain(A: Tensor, G: Tensor) -> Tensor:
        grid = ops.fused_cam(A, G, "respond")
        return ops.linear_upsample(grid, [2 * extent for extent in grid.shape[1:]])

    torch.compiler.reset()
    counted = CompileCounter()
    function = torch.compile(explain, fullgraph=True, backend=counted, dynamic=True)
    for shape in ((2, 3, 4, 5), (3, 4, 6, 7), (5, 2, 9, 3)):
        A, G = cases.activations(shape, torch.float32), cases.gradients(shape, torch.float32)
        torch.testing.assert_close(function(A, G), explain(A, G))
    assert counted.frame_count == 1
    whole = compiled(explain, dynamic=True)
    A, G = cases.activations((3, 4, 5, 6), torch.float32), cases.gradients((3, 4, 5, 6), torch.float32)
    torch.testing.assert_close(whole(A, G), explain(A, G))


class Explained(nn.Module):
    """A head's own map: activations times the weights of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        A = self.trunk(x).relu()
        return ops.linear_upsample(ops.weighted_sum(A, self.head.weight[:1].expand(len(A), 4)), (8, 8))


def test_a_module_is_exported() -> None:
    module, x = Explained().eval(), torch.randn(2, 3, 6, 6)
    exported = torch.export.export(module, (x,))
    targets = {str(node.target) for node in exported.graph.nodes}
    assert {"camfast.weighted_sum.default", "camfast.linear_upsample.default"} <= targets
    torch.testing.assert_close(exported.module()(x), module(x))


def test_autocast_changes_nothing() -> None:
    A, G = pair(recorded=False)
    expected = ops.fused_cam(A, G, "respond")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(ops.fused_cam(A, G, "respond"), expected)
        assert torch.equal(torch.ops.camfast.fused_cam(A, G, *RESPOND, *NONE)[0], expected)
        low = A.bfloat16()
        assert ops.fused_cam(low, G.bfloat16(), "respond").dtype == torch.float32
        with pytest.raises(TypeError, match=r"gradients are torch\.float32 and activations torch\.bfloat16"):
            ops.fused_cam(low, G, "respond")


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_grad_modes(mode: Callable[[], Any]) -> None:
    A, G = pair()
    expected = ops.fused_cam(A.detach(), G.detach(), "respond", size=(8, 6))
    with mode():
        maps = ops.fused_cam(A, G, "respond", size=(8, 6))
    assert torch.equal(maps, expected)
    assert maps.requires_grad == (mode is torch.enable_grad)
    assert maps.is_inference() == (mode is torch.inference_mode)


def test_graphs_of_dispatch_modes_see_the_op() -> None:
    A, G = pair(recorded=False)
    ops.product_sum(A, G)
    traced = make_fx(lambda A, G: ops.product_sum(A, G))(A, G)
    assert any("camfast.product_sum" in str(node.target) for node in traced.graph.nodes)
    other = torch.randn_like(A)
    assert torch.equal(traced(other, G), ops.product_sum(other, G))


def test_maps_in_a_training_loss() -> None:
    model = nn.Sequential(nn.Conv1d(2, 3, 3, padding=1), nn.Softplus(), nn.Flatten(), nn.Linear(24, 2), nn.Tanh())
    model, x = model.double(), torch.randn(2, 2, 8, dtype=torch.float64)
    weight = model[0].weight
    step, direction = 1e-6, torch.randn_like(weight)

    def loss(method: str, shift: float) -> Tensor:
        with torch.no_grad():
            weight.add_(shift * direction)
        options: dict[str, Any] = {"sigma": 2.0} if FORMS[method].upsample == "gaussian" else {}
        explainer = camfast.Explainer(model, "1", method, relu=False, create_graph=True, size=(16,), **options)
        return explainer(x, 1).maps.square().sum()

    for method in FORMS:
        (found,) = torch.autograd.grad(loss(method, 0.0), weight)
        above, below = loss(method, step).item(), loss(method, -2 * step).item()
        loss(method, step)
        assert (found * direction).sum().item() == pytest.approx((above - below) / (2 * step), rel=1e-4)


def test_transforms_of_torch_func() -> None:
    A, G = (values[:, None].repeat(1, 2, 1, 1, 1) for values in pair(recorded=False))
    found = torch.vmap(lambda A, G: ops.fused_cam(A, G, "respond", size=(8, 6)))(A, G)
    expected = [ops.fused_cam(a, g, "respond", size=(8, 6)) for a, g in zip(A, G, strict=True)]
    assert torch.equal(found, torch.stack(expected))
    found = torch.func.grad(lambda A: ops.product_sum(A, G[0]).square().sum())(A[0])
    leaf = A[0].clone().requires_grad_()
    (expected,) = torch.autograd.grad(ops.product_sum(leaf, G[0]).square().sum(), leaf)
    torch.testing.assert_close(found, expected)
