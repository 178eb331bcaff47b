"""An explanation by a plain hook, `torch.autograd.grad` and loops, in float64: what the engine is tested against."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map


def grid(
    model: nn.Module,
    inputs: Any,
    layer: str,
    scalar: Callable[[Any], Tensor] | int,
    method: str = "gradcam",
    *,
    call: int = -1,
) -> Tensor:
    """The signed map (N, *S) of a layer on its own grid."""
    A, G, _ = activations_and_gradients(model, inputs, layer, scalar, call=call)
    return combine(A, G, method)


def activations_and_gradients(
    model: nn.Module, inputs: Any, layer: str, scalar: Callable[[Any], Tensor] | int, *, call: int = -1
) -> tuple[Tensor, Tensor, Any]:
    """A, G = ∂y/∂A and the output, of a float64 copy of the model."""
    model = copy.deepcopy(model).double().requires_grad_()
    inputs = tree_map(lambda leaf: leaf.double() if isinstance(leaf, Tensor) else leaf, inputs)
    taken: list[Tensor] = []

    def take(module: nn.Module, args: Any, result: Tensor) -> Tensor:
        taken.append(result if result.requires_grad else result.detach().requires_grad_())
        return taken[-1].clone()

    with torch.inference_mode(False), torch.enable_grad(), model.get_submodule(layer).register_forward_hook(take):
        output = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
        y = output[:, scalar] if isinstance(scalar, int) else scalar(output)
        (G,) = torch.autograd.grad(y.sum(), taken[call])
    return taken[call].detach(), G, output


def combine(A: Tensor, G: Tensor, method: str) -> Tensor:
    """L (N, *S) from A and G (N, C, *S), sample by sample and channel by channel, before any ReLU on the map."""
    return torch.stack([_sample(a, g, method) for a, g in zip(A, G, strict=True)])


def _sample(A: Tensor, G: Tensor, method: str) -> Tensor:
    if method in ("eigencam", "eigengradcam"):
        return component(A if method == "eigencam" else G * A)
    L = torch.zeros_like(A[0])
    for a, g in zip(A, G, strict=True):
        if method in ("hirescam", "extended"):
            L = L + g * a
        elif method == "elementwise":
            L = L + (g * a).relu()
        elif method == "layercam":
            L = L + g.relu() * a
        else:
            L = L + _weight(a, g, method) * a
    return L


def component(features: Tensor, *, centre: bool = False) -> Tensor:
    """M·v with v the first right singular vector of the Z×K matrix M, of features (K, *S) of one sample."""
    M = features.double().flatten(1).T
    if centre:
        M = M - M.mean(0)
    L = M @ torch.linalg.svd(M, full_matrices=False).Vh[0]
    total = M.sum(1)
    correlation = torch.corrcoef(torch.stack([L, total]))[0, 1] if len(L) > 1 else torch.tensor(0.0)
    sign = correlation if correlation.abs() > 1e-9 else L[L.abs().argmax()]  # NaN: one of the two is constant
    return (-L if sign < 0 else L).reshape(features.shape[1:])


def _weight(a: Tensor, g: Tensor, method: str) -> Tensor:
    if method == "gradcam":
        return g.mean()
    if method == "xgradcam":
        return (g * a).sum() / (a.sum() + 1e-7)
    if method == "respond":
        return (g * a).sum() / (a.sum() + a.numel() * 1e-10)
    assert method == "gradcam++"
    positive = g[g > 0]
    return (positive / (2 + a.sum() * positive)).sum()


def relative_error(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    norm = expected.double().norm().item()
    assert norm > 0, "an expectation of zeros tests nothing"
    return (found.double() - expected.double()).norm().item() / norm
