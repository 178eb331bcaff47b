"""Heads as chains of steps whose gradients have a closed form, in plain torch operations."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from camfast.errors import SplitError

EXPLAINED = (
    "averages over all positions, flatten and view, linear layers, ReLU, 1×1 convolutions, and dropout in eval mode"
)
_AVERAGES = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_AVERAGING = {
    F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d, F.avg_pool1d, F.avg_pool2d, F.avg_pool3d,
    torch.mean, "mean",
}  # fmt: skip
_RELU = {F.relu, torch.relu, torch.relu_, "relu", "relu_"}
_VIEWS = {torch.flatten, torch.reshape, torch.squeeze, "flatten", "view", "reshape", "squeeze"}


class Step(nn.Module):
    """y = f(x) of one sample's values x; gradients with respect to it have an axis of targets, (N, T, ...)."""

    def backward(self, gradient: Tensor, x: Tensor) -> Tensor:
        """Carry ∂score/∂y, (N, T, *y), on to ∂score/∂x, (N, T, *x)."""
        raise NotImplementedError


class Average(Step):
    """Global average pooling: (N, C, *S) to (N, C), or (N, C, 1, ...) where the axes are kept."""

    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        """Average over all positions."""
        return x.mean(tuple(range(2, x.ndim)), keepdim=self.keep)

    def backward(self, gradient: Tensor, x: Tensor) -> Tensor:
        """∂/∂x[p] = ∂/∂y / Z."""
        flat = gradient.reshape(*gradient.shape[:3], *[1] * (x.ndim - 2))
        return (flat / x[0, 0].numel()).expand(-1, -1, -1, *x.shape[2:])


class View(Step):
    """Another arrangement of each sample's values, of the given shape."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Arrange the values."""
        return x.reshape(x.shape[0], *self.shape)

    def backward(self, gradient: Tensor, x: Tensor) -> Tensor:
        """The same numbers as x has them."""
        return gradient.reshape(*gradient.shape[:2], *x.shape[1:])


class ReLU(Step):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        """Rectify."""
        return x.relu()

    def backward(self, gradient: Tensor, x: Tensor) -> Tensor:
        """∂/∂x = ∂/∂y where x > 0; a NaN lets it through, as torch's derivative does."""
        return torch.where((x <= 0).unsqueeze(1), 0.0, gradient)


class Linear(Step):
    """y = x Wᵀ + b, (N, C_in) to (N, C_out)."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        y: Tensor = self.layer(x)
        return y

    def backward(self, gradient: Tensor, x: Tensor) -> Tensor:  # noqa: ARG002
        """∂/∂x = ∂/∂y W."""
        passed: Tensor = gradient @ self.layer.weight
        return passed


class Pointwise(Step):
    """A 1×1 convolution, (N, C_in, *S) to (N, C_out, *S), S longer by what is padded."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer: Any = layer

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer."""
        y: Tensor = self.layer(x)
        return y

    def backward(self, gradient: Tensor, x: Tensor) -> Tensor:
        """∂/∂x[p] = ∂/∂y[p] W, without what is padded."""
        for axis, (pad, extent) in enumerate(zip(self.layer.padding, x.shape[2:], strict=True), start=3):
            gradient = gradient.narrow(axis, pad, extent)
        flat: Tensor = gradient.flatten(3).transpose(2, 3) @ self.layer.weight.flatten(1)
        return flat.transpose(2, 3).reshape(*gradient.shape[:2], *x.shape[1:])


def chain(head: nn.Module, features: Tensor) -> list[Step]:
    """The steps of a head.

    Parameters
    ----------
    head
        What runs behind the layer, in eval mode.
    features
        Some of what it is given, (N, C, *S) with at least two samples, by which views of samples are known.

    Raises
    ------
    SplitError
        If a step has no closed form here; the message names it.
    """
    try:
        traced = fx.symbolic_trace(head)
    except Exception as error:  # whatever the head's code raises on torch.fx's stand-ins for tensors
        raise _refused(f"torch.fx can't trace it ({' '.join(str(error).split())})") from error
    with torch.no_grad():
        ShapeProp(traced).propagate(features.clone())
    steps: list[Step] = []
    last: Any = None
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            last = node
            continue
        if node.op == "output" and node.args[0] is not last:
            raise _refused(f"it doesn't return the output of its last step, {last.name}")
        if node.op in ("output", "get_attr") or "tensor_meta" not in node.meta:  # what isn't a tensor is a size
            continue
        module = traced.get_submodule(str(node.target)) if node.op == "call_module" else None
        described = f"{node.target} ({type(module).__name__})" if module is not None else f"{node.name} ({node.op})"
        if not node.args or node.args[0] is not last:
            raise _refused(f"{described} takes more than the output of the step before it")
        before, after = (tuple(one.meta["tensor_meta"].shape) for one in (last, node))
        step = _step(node, module, before, after)
        if step is None:
            raise _refused(f"{described}, from {before} to {after}, is none of them")
        steps += [] if isinstance(step, nn.Identity) else [step]
        last = node
    if len(last.meta["tensor_meta"].shape) != 2:
        raise _refused(f"it returns {tuple(last.meta['tensor_meta'].shape)}, expected scores (N, C)")
    return steps


def _step(node: fx.Node, module: nn.Module | None, before: tuple[int, ...], after: tuple[int, ...]) -> Any:
    """What a node of the trace is; an Identity where it does nothing, None where it isn't known."""
    target: Any = node.target
    pooled = len(before) > 2 and after[:2] == before[:2] and set(after[2:]) <= {1}
    if isinstance(module, _AVERAGES) or (module is None and target in _AVERAGING):
        return Average(len(after) > 2) if pooled and _covers(module, before[2:]) else None
    if isinstance(module, nn.ReLU) or (module is None and target in _RELU):
        return ReLU()
    if isinstance(module, nn.Flatten) or (module is None and target in _VIEWS):
        return View(after[1:]) if after[:1] == before[:1] else None
    if isinstance(module, nn.Linear):
        return Linear(module) if len(before) == 2 else None
    if isinstance(module, _CONVOLUTIONS):
        plain = set(module.kernel_size) | set(module.stride) == {1} and module.groups == 1
        padded = module.padding_mode == "zeros" and not isinstance(module.padding, str)
        return Pointwise(module) if plain and padded else None
    still = isinstance(module, nn.Identity) or (
        isinstance(module, nn.modules.dropout._DropoutNd) and not module.training
    )
    off = target is F.dropout and not node.kwargs.get("training", True)
    return nn.Identity() if still or off or (module is None and target == "contiguous") else None


def _covers(module: Any, sizes: tuple[int, ...]) -> bool:
    """Whether a pooling's window is the whole grid; windows of functions are told by the values alone."""
    if not isinstance(module, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d):
        return True
    kernel: Any = module.kernel_size
    return sizes == (tuple(kernel) if isinstance(kernel, Sequence) else (kernel,) * len(sizes))


def _refused(found: str) -> SplitError:
    return SplitError(f"the head can't be exported, whose gradient is written down for {EXPLAINED}: {found}")
