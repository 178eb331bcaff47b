"""The ops where networks use them: in a loss, and in a compiled function, on every kind of processor."""

import pytest
import torch
from torch import Tensor

import camfast
from camfast import ops
from tests.gpu.runners import Runner

METHODS = ("gradcam", "respond", "hirescam", "layercam")


def _loss(A: Tensor, G: Tensor, method: str, upsample: str, backend: str) -> Tensor:
    options = {"sigma": 3.0} if upsample == "gaussian" else {}
    maps = ops.fused_cam(A, G, method, size=(12, 15), upsample=upsample, backend=backend, **options)  # type: ignore[arg-type]
    return maps.square().sum()


def _near(found: Tensor, expected: Tensor) -> None:
    assert float((found.double() - expected).norm() / expected.norm()) < 1e-4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("upsample", ["linear", "gaussian"])
def test_gradients_of_a_map(runner: Runner, method: str, upsample: str) -> None:
    A = runner.activations((2, 6, 4, 5), torch.float32).requires_grad_()
    G = runner.gradients((2, 6, 4, 5), torch.float32).requires_grad_()
    found = torch.autograd.grad(_loss(A, G, method, upsample, runner.backend), (A, G))
    exact = A.detach().double().requires_grad_(), G.detach().double().requires_grad_()
    expected = torch.autograd.grad(_loss(*exact, method, upsample, "torch"), exact)
    for one, other in zip(found, expected, strict=True):
        _near(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_a_compiled_function_gives_the_same(runner: Runner, method: str) -> None:
    """By torch's compiler on a GPU; on a CPU traced alone, as other tests compile there."""

    def function(A: Tensor, G: Tensor) -> Tensor:
        return ops.fused_cam(A * 2, G, method, size=(8, 10), backend=runner.backend) + 1

    A, G = runner.activations((2, 6, 4, 5), torch.float32), runner.gradients((2, 6, 4, 5), torch.float32)
    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend="inductor" if runner.device == "cuda" else "aot_eager")
    torch.testing.assert_close(compiled(A, G), function(A, G))


def test_an_explanation(runner: Runner) -> None:
    """From a network to its map, on the device."""
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(8 * 36, 4),
    ).eval()  # fmt: skip
    images = torch.randn(3, 1, 12, 12)
    explainer = camfast.Explainer(model, "2", "respond", upsample="gaussian", sigma=2.0, backend="torch")
    expected = explainer(images, target="all")
    on_device = camfast.Explainer(
        model.to(runner.device), "2", "respond", upsample="gaussian", sigma=2.0, backend=runner.backend
    )
    found = on_device(images.to(runner.device), target="all")
    torch.testing.assert_close(found.maps.cpu(), expected.maps, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.scores.cpu(), expected.scores, rtol=1e-3, atol=1e-4)
