"""Gradients of many scalars with respect to the activations: batched where the head is dense, else one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils.checkpoint import CheckpointError

from camfast import head_chain
from camfast.errors import CaptureError
from camfast.head_chain import ClassRows

# Gradients of several targets are made some at a time, so many bytes together.
CHUNK_BYTES = 256 * 2**20
_REENTRANT_HELP = (
    "the model uses re-entrant checkpointing behind the layer, which torch.autograd.grad can't pass: use "
    "torch.utils.checkpoint.checkpoint(..., use_reentrant=False), or switch checkpointing off for explanations"
)

_UNUSED = (
    "the scores don't depend on the layer by a graph that can be followed: the layer is inside a re-entrant checkpoint "
    "(use_reentrant=False helps), behind a detach, or has no part in this target, or layer_output= makes a tensor that "
    "nothing follows"
)


class NotConnectedError(CaptureError):
    """No graph leads from the values to an activation, as far as this pass has one."""


def target_gradients(
    values: Tensor,
    activations: Sequence[Tensor],
    *,
    rows: ClassRows | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    unused: str | None = None,
) -> Iterator[tuple[slice, list[Tensor]]]:
    """Differentiate each target's scalars with respect to the activations.

    Parameters
    ----------
    values
        y, (N, T): one scalar for each sample and target, no sample's depending on another sample.
    activations
        Tensors of the graph, (N, ...).
    rows
        The values' gradients at the last linear layer, where they are known; the rest is differentiated from there.
    retain_graph
        Whether the graph is kept for the caller's own use.
    create_graph
        Whether the gradients can themselves be differentiated.
    unused
        What is said where an activation has no part in the values; None: what may be the reasons.

    Yields
    ------
    slice, list of Tensor
        Some of the targets, and G = ∂y/∂A, (t, N, ...) for each of the activations.

    Raises
    ------
    CaptureError
        If an activation has no part in the values, or the graph can't be differentiated by torch.autograd.grad.
    """
    targets = values.shape[1]
    source = Source(values, rows)
    chunk = _chunk(source, activations)
    start = 0
    while start < targets:
        part = slice(start, min(start + chunk, targets))
        keep = retain_graph or create_graph or part.stop < targets
        try:
            gradients = _differentiate(source, activations, part, keep, create_graph, unused or _UNUSED)
        except CaptureError:
            raise
        except RuntimeError as error:
            if part.stop - part.start > 1:
                chunk = 1  # an operation of the head has no batched derivative
                continue
            if "checkpoint" in str(error) and not isinstance(error, CheckpointError):
                raise CaptureError(_REENTRANT_HELP) from error
            raise
        yield part, gradients
        start = part.stop


def _differentiate(
    source: "Source", activations: Sequence[Tensor], part: slice, keep: bool, create_graph: bool, unused: str
) -> list[Tensor]:
    if part.stop - part.start == 1:
        if source.rows is not None:
            row = source.rows.of(part)[0]
            found = head_chain.differentiate(row, source.rows.linear.before, activations, keep=keep)
        else:
            total = source.values[:, part.start].sum()
            found = torch.autograd.grad(
                total, activations, retain_graph=keep, create_graph=create_graph, allow_unused=True
            )
        return [gradient.unsqueeze(0) for gradient in _all_used(found, unused)]
    start, cotangents = source.batched(part)
    if len(activations) == 1 and start == get_gradient_edge(activations[0]):
        return [cotangents]
    found = torch.autograd.grad(
        start,
        activations,
        cotangents,
        retain_graph=True,  # a failure in the middle falls back to single targets
        create_graph=create_graph,
        allow_unused=True,
        is_grads_batched=True,
    )
    return _all_used(found, unused)


@dataclass(frozen=True)
class Source:
    """Where differentiation starts: at the values, or where their gradients are known."""

    values: Tensor
    rows: ClassRows | None

    @property
    def edge(self) -> GradientEdge:
        """Where the graph is entered."""
        return get_gradient_edge(self.values) if self.rows is None else self.rows.linear.before

    def batched(self, part: slice) -> tuple[GradientEdge, Tensor]:
        """The edge, and what comes to it for each of some targets."""
        if self.rows is not None:
            return self.edge, self.rows.of(part)
        one_hot = self.values.new_zeros(part.stop - part.start, *self.values.shape)
        one_hot.diagonal(offset=part.start, dim1=0, dim2=2).fill_(1)
        return self.edge, one_hot


def _all_used(found: Sequence[Tensor | None], unused: str) -> list[Tensor]:
    if any(gradient is None for gradient in found):
        raise NotConnectedError(unused)
    return [gradient for gradient in found if gradient is not None]


def _chunk(source: Source, activations: Sequence[Tensor]) -> int:
    """How many targets go through the head at once."""
    targets = source.values.shape[1]
    if targets == 1 or _has_convolution(source.edge, activations):
        return 1
    size = sum(activation.numel() * activation.element_size() for activation in activations)
    return max(1, min(targets, CHUNK_BYTES // max(size, 1)))


def _has_convolution(start: GradientEdge, activations: Sequence[Tensor]) -> bool:
    """Whether a convolution lies between the activations and an edge, where batching gradients was slower."""
    stops = {activation.grad_fn for activation in activations} - {None}
    pending: list[Any] = [start.node]
    seen = set()
    while pending:
        node = pending.pop()
        if node is None or node in seen or node in stops:
            continue
        seen.add(node)
        if "onvolution" in node.name():
            return True
        pending.extend(following for following, _ in node.next_functions)
    return False
