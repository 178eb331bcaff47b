"""How a network is watched from inside: what each layer returned, and where that stands in the graph.

No hook is used. A network calls its layers by `Block.run` and its activation functions by `Block.activate`; on the
copy that is watched these note what comes out, and may have an activation function go back by a rule.
"""

import copy
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional as F


def _rectified_by_a_view(x: Tensor) -> Tensor:
    x.view(-1).relu_()
    return x


RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu": F.relu,
    "torch.relu": torch.relu,
    "x.relu()": Tensor.relu,
    "x.relu_()": Tensor.relu_,
    "F.relu(inplace)": lambda x: F.relu(x, inplace=True),
    "clamp(min=0)": lambda x: x.clamp(min=0),
    "clamp_min_(0)": lambda x: x.clamp_min_(0),
    "maximum(x, 0)": lambda x: torch.maximum(x, x.new_zeros(())),
    "F.threshold": lambda x: F.threshold(x, 0, 0),
    "relu_() of a view": _rectified_by_a_view,
}
OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "F.leaky_relu_": lambda x: F.leaky_relu_(x, 0.2),
    "F.elu": F.elu,
    "F.selu": F.selu,
    "F.silu": F.silu,
    "F.silu(inplace)": lambda x: F.silu(x, inplace=True),
    "F.gelu": F.gelu,
    "F.softplus": F.softplus,
    "F.relu6": F.relu6,
    "F.hardswish": F.hardswish,
    "F.mish": F.mish,
}
FUNCTIONS = RELUS | OTHERS
IN_PLACE = {name for name in FUNCTIONS if "_(" in name or "inplace" in name or name.endswith("_")}
RELU_MODULES = (nn.ReLU, nn.Threshold)
OTHER_MODULES = (
    nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.SiLU, nn.GELU, nn.Softplus, nn.ReLU6, nn.Hardswish, nn.Mish,
)  # fmt: skip


@dataclass
class Call:
    """One call of a layer.

    Attributes
    ----------
    value
        A copy of what it returned, in its graph.
    edge
        Where gradients come to it.
    grid
        S, where it is tokens.
    bare
        Whether it returned nothing else.
    """

    value: Tensor
    edge: GradientEdge | None
    grid: tuple[int, ...] | None
    bare: bool


class Watch:
    """Notes on one run of a network.

    Parameters
    ----------
    network
        The copy that is watched; its parameters require gradients, so that everything has a graph.
    rule
        How activation functions go back; None: by their own derivative.
    """

    def __init__(self, network: nn.Module, rule: str | None = None) -> None:
        self.names: dict[int, str] = {}
        for name, module in network.named_modules():
            self.names.setdefault(id(module), name)
            if isinstance(module, Block):
                module.watch = self
        self.calls: dict[str, list[Call]] = defaultdict(list)
        self.rule = rule

    def run(self, module: nn.Module, args: tuple[Any, ...], grid: tuple[int, ...] | None) -> Any:
        """Call a module, and note what the first tensor of its result is."""
        given = [(argument, argument._version) for argument in args if isinstance(argument, Tensor)]
        if type(module) is nn.Sequential:
            (result,) = args
            for part in module:
                result = self.run(part, (result,), grid)
        elif self.rule is not None and isinstance(module, RELU_MODULES + OTHER_MODULES):
            result = self._ruled(module, args[0], isinstance(module, RELU_MODULES), getattr(module, "inplace", False))
        else:
            result = module(*args)
        # What a layer hands through is its output, and what goes around the layer isn't; of a view that is written to,
        # autograd forgets where it was.
        if isinstance(result, Tensor) and (
            result._is_view() or any(result is tensor and result._version == v for tensor, v in given)
        ):
            result = result.clone()
        tensor = main(result)
        edge = get_gradient_edge(tensor) if tensor.requires_grad else None
        self.calls[self.names[id(module)]].append(Call(tensor.clone(), edge, grid, tensor is result))
        return result

    def activate(self, name: str, x: Tensor) -> Tensor:
        """Apply an activation function."""
        if self.rule is None:
            return FUNCTIONS[name](x)
        return self._ruled(FUNCTIONS[name], x, name in RELUS, name in IN_PLACE)

    def _ruled(self, function: Callable[[Tensor], Tensor], x: Tensor, is_relu: bool, in_place: bool) -> Tensor:
        result: Tensor = _Ruled.apply(x, copy.deepcopy(function), self.rule, is_relu)
        return x.copy_(result) if in_place else result


class _Ruled(torch.autograd.Function):
    """An activation function that goes back by a rule: formulas of the backward pass, written out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[[Tensor], Tensor], rule: str, is_relu: bool) -> Tensor:
        with torch.enable_grad():
            leaf = x.detach().clone().requires_grad_()
            result = function(leaf.clone())
            (slope,) = torch.autograd.grad(result.sum(), leaf)
        ctx.rule = rule
        ctx.save_for_backward((x > 0).to(x) if is_relu else slope)
        return result.detach()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (slope,) = ctx.saved_tensors
        if ctx.rule == "linear":
            return g, None, None, None
        gated = g.clamp(min=0)
        return gated if ctx.rule == "deconvnet" else gated * slope, None, None, None


class Block(nn.Module):
    """A part of a network that says which layers it calls and which activation functions.

    Attributes
    ----------
    watch
        Who is told; nobody but on the copy that is watched.
    laid_out
        The children that don't return (N, C, *S): ``"tokens"`` (N, L, C) or ``"last"`` (N, *S, C).
    opaque
        Whether activation functions are inside that `activate` doesn't see.
    """

    watch: "Watch | None" = None
    laid_out: ClassVar[dict[str, str]] = {}
    opaque: ClassVar[bool] = False

    def run(self, name: str, *args: Any, grid: tuple[int, ...] | None = None) -> Any:
        """Call a child by its name; ``grid`` is S of tokens."""
        module = self.get_submodule(name)
        return module(*args) if self.watch is None else self.watch.run(module, args, grid)

    def activate(self, name: str, x: Tensor) -> Tensor:
        """Apply an activation function of `FUNCTIONS`, or the child of that name."""
        if name in self._modules:
            return self.run(name, x)
        return FUNCTIONS[name](x) if self.watch is None else self.watch.activate(name, x)


def main(result: Any) -> Tensor:
    """The tensor that matters in what a layer or a network of these returns."""
    if isinstance(result, Tensor):
        return result
    if isinstance(result, dict):
        return main(result["main"])
    if isinstance(result, tuple | list):
        return main(result[0])
    return main(result.main)
