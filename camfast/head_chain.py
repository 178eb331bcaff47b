"""Linear layers on the way from the scores to a layer, read from autograd's graph, and gradients through them.

A class's score has a row of the last linear layer for its gradient, so nothing needs to be summed over all classes; and
a unit that is off, as a ReLU leaves half of them, passes nothing on, so its row of the weights needs not be read.
Everything else is autograd's own: it runs to such a layer and goes on behind it, with the hooks that it finds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from camfast.ops import native

# Nodes that leave each class by itself: one input, whose axes of samples and classes are those of the result.
_CLASSWISE = ("ReluBackward", "MeanBackward", "AdaptiveAvgPool", "AvgPool", "MkldnnAdaptiveAvgPool")
_RESHAPING = ("ViewBackward", "UnsafeViewBackward", "ReshapeAliasBackward", "SqueezeBackward", "UnsqueezeBackward")
# Nodes with one input between linear layers; what they do is left to autograd.
_ONE_INPUT = (*_CLASSWISE, *_RESHAPING, "GeluBackward", "EluBackward", "SiluBackward", "HardtanhBackward")
# From so many weights on, choosing rows costs less than reading all of them.
_MANY_WEIGHTS = 2**20


@dataclass(frozen=True)
class Linear:
    """A linear layer in the graph: y = x Wᵀ, or a 1×1 convolution.

    Attributes
    ----------
    node : torch.autograd.graph.Node
        Its node; gradients with respect to y come to it.
    weight : Tensor
        W, (C_out, C_in).
    padding : tuple of int
        Of a convolution, along each axis; empty for a layer of vectors.
    before : GradientEdge
        Where gradients with respect to x go.
    """

    node: Any
    weight: Tensor
    padding: tuple[int, ...]
    before: GradientEdge


@dataclass(frozen=True)
class ClassRows:
    """The gradients of class scores with respect to the input x of the last linear layer.

    Attributes
    ----------
    linear : Linear
        The last linear layer.
    classes : Tensor
        (N, T).
    behind : Tensor or None
        ∂(sum of the scores)/∂y, (N, C_out, *S), where pooling or a ReLU follows; None where y are the scores.
    """

    linear: Linear
    classes: Tensor
    behind: Tensor | None

    def of(self, part: slice) -> Tensor:
        """∂score/∂x for some of the targets, (t, N, C_in, *S)."""
        classes = self.classes[:, part].T
        rows = self.linear.weight[classes]
        if self.behind is None:
            return rows
        inside = (slice(None), slice(None), *(slice(pad, -pad or None) for pad in self.linear.padding))
        samples = torch.arange(classes.shape[1], device=classes.device)
        passed = self.behind[inside][samples, classes]
        axes = passed.ndim - 2
        return rows[(..., *(None,) * axes)] * passed.unsqueeze(2)


def class_rows(scores: Tensor, classes: Tensor, activations: Sequence[Tensor], *, keep: bool) -> ClassRows | None:
    """Find the linear layer that makes the scores, if nothing behind it mixes classes.

    Parameters
    ----------
    scores
        (N, C), in the graph of the activations.
    classes
        The explained ones, (N, T).
    activations
        What will be differentiated with respect to.
    keep
        Whether the graph behind the linear layer is kept.

    Returns
    -------
    ClassRows or None
        None where the scores come about in another way.
    """
    if scores._backward_hooks or not _is_plain(scores):
        return None
    stops = _stops(activations)
    node: Any = scores.grad_fn
    while node is not None and node not in stops and _is_classwise(node, tuple(scores.shape)):
        node = node.next_functions[0][0]
    if node is scores.grad_fn and classes.shape[1] == 1 and len(activations[0]) != 1:
        return None  # autograd's own product over all classes is as fast
    linear = None if node is None or node in stops else _linear(node)
    if linear is None or len(linear.weight) != scores.shape[1]:
        return None
    if node is scores.grad_fn:
        return ClassRows(linear, classes, None)
    if not linear.padding:
        return None  # what follows a layer of vectors may be a view of more than classes
    (behind,) = torch.autograd.grad(
        scores,
        GradientEdge(node, 0),
        torch.ones_like(scores),
        retain_graph=keep,
    )
    return ClassRows(linear, classes, behind)


def differentiate(
    gradient: Tensor, edge: GradientEdge, activations: Sequence[Tensor], *, keep: bool
) -> tuple[Tensor | None, ...]:
    """Carry ∂score/∂x of one target, shaped like x, from an edge of the graph on to the activations."""
    if len(activations) == 1 and edge == get_gradient_edge(activations[0]):
        return (gradient,)
    if len(gradient) == 1:
        for linear in _large_layers(edge, activations):
            (behind,) = torch.autograd.grad(edge, GradientEdge(linear.node, 0), gradient, retain_graph=keep)
            gradient, edge = _of_units_that_are_on(behind, linear.weight), linear.before
    return torch.autograd.grad(edge, activations, gradient, retain_graph=keep, allow_unused=True)


def _large_layers(edge: GradientEdge, activations: Sequence[Tensor]) -> Iterator[Linear]:
    """Layers of many weights through which alone everything passes on its way from an edge to the activations.

    Those whose product with one sample's gradient is bound by reading the weights, on a CPU.
    """
    stops = _stops(activations)
    node: Any = edge.node if len(activations[0]) == 1 else None
    while node is not None and node not in stops:
        linear = _linear(node)
        if linear is not None and not linear.padding:
            if _is_large(linear.weight) and node is not edge.node:
                yield linear
            node = linear.before.node
        elif node.name().startswith(_ONE_INPUT):
            node = node.next_functions[0][0]
        else:
            return


def _of_units_that_are_on(gradient: Tensor, weight: Tensor) -> Tensor:
    """G W, (positions, C_in); of a single position the rows of units whose gradient is 0 aren't read."""
    if len(gradient) != 1 or native.load_failure() is not None:  # several positions of the one sample share a layer
        return gradient @ weight
    summed: Tensor = native.row_sum(weight, gradient[0].contiguous(), weight.new_empty(weight.shape[1]))
    return summed[None]


def _is_classwise(node: Any, shape: tuple[int, ...]) -> bool:
    name: str = node.name()
    if name.startswith("MeanBackward"):
        rank = len(node._saved_self_sym_sizes)
        axes = [axis if axis < 2**63 else axis - 2**64 + rank for axis in getattr(node, "_saved_dim", ())]
        return bool(axes) and min(axes) >= 2
    if name.startswith(_RESHAPING):
        return tuple(getattr(node, "_saved_self_sym_sizes", ())[:2]) == shape
    return name.startswith(_CLASSWISE)


def _linear(node: Any) -> Linear | None:
    """What a node is, if it is a layer y = x Wᵀ + b, or a 1×1 convolution, whose weights don't depend on the input."""
    name: str = node.name()
    if name.startswith("AddmmBackward") and node._saved_alpha == 1:
        edges, weight = node.next_functions, node._saved_mat2
        inputs, parameters = edges[1], [edges[0], edges[2]]
        weight = None if weight is None else weight.T
        padding: tuple[int, ...] = ()
    elif name.startswith("MmBackward"):
        edges, weight = node.next_functions, node._saved_mat2
        inputs, parameters = edges[0], [edges[1]]
        weight = None if weight is None else weight.T
        padding = ()
    elif name.startswith("ConvolutionBackward") and _is_pointwise(node):
        inputs, *parameters = node.next_functions
        weight = node._saved_weight.flatten(1)
        padding = tuple(node._saved_padding)
    else:
        return None
    if inputs[0] is None or weight is None or not _is_plain(weight) or not all(map(_is_parameter, parameters)):
        return None
    return Linear(node, weight.detach(), padding, GradientEdge(*inputs))


def _is_pointwise(node: Any) -> bool:
    steps = (*node._saved_stride, *node._saved_dilation)
    kernel = node._saved_weight.shape[2:]
    return not node._saved_transposed and node._saved_groups == 1 and {*steps, *kernel} == {1}


def _is_parameter(edge: tuple[Any, int]) -> bool:
    """Whether an edge leads to a parameter: transposed or cast to another dtype, but made of nothing else."""
    node = edge[0]
    while node is not None and node.name().startswith(("TBackward", "ToCopyBackward", "TransposeBackward")):
        node = node.next_functions[0][0]
    return node is None or (hasattr(node, "variable") and isinstance(node.variable, torch.nn.Parameter))


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor's numbers are where they seem to be: no subclass, no storage that is elsewhere meanwhile."""
    return type(tensor) in (Tensor, torch.nn.Parameter) and tensor.untyped_storage().nbytes() > 0


def _is_large(weight: Tensor) -> bool:
    whole = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64) and weight.stride(1) == 1
    return whole and weight.numel() >= _MANY_WEIGHTS


def _stops(activations: Sequence[Tensor]) -> set[Any]:
    return {activation.grad_fn for activation in activations} - {None}
