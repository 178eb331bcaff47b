"""One run of a model for a backward pass to its inputs: a graph from the first operation on, and then no trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from camfast import guards
from camfast.backprop.in_place import SeenInPlace
from camfast.inputs import arguments, call
from camfast.recorder import CaptureOptions, Form, Recorder


@dataclass(frozen=True)
class Run:
    """What a run leaves.

    Attributes
    ----------
    result : Any
        What the model returned.
    source : Tensor
        A copy of the input that maps are of: the leaf of the graph.
    activations : dict of Tensor
        Outputs of the layers asked for, in the graph.
    """

    result: Any
    source: Tensor
    activations: dict[str, Tensor]


@contextmanager
def from_inputs(
    model: nn.Module, inputs: Any, names: tuple[str, ...] = (), options: CaptureOptions | None = None
) -> Iterator[Run]:
    """Run a model with a graph that starts at its input.

    Parameters
    ----------
    model
        An unwrapped module (`camfast.layers.unwrap`), left as it was found.
    inputs
        A tensor, a tuple of positional arguments, or a mapping of keyword arguments. Maps are of the first
        floating-point tensor among them.
    names
        Layers whose outputs are taken.
    options
        See `CaptureOptions`.

    Yields
    ------
    Run
        To be differentiated in the block.

    Raises
    ------
    CaptureError
        If a layer isn't reached, or the model can't be differentiated through.
    TypeError
        If no input can have a gradient.
    """
    recorder = Recorder(names, options or CaptureOptions(), Form(detach=False, copy=True))
    with torch.inference_mode(False), torch.enable_grad(), guards.model_untouched(model), recorder.attached(model):
        source, positional, keywords = _from_leaf(*arguments(inputs))
        with recorder.alone(), SeenInPlace():
            result = call(model, positional, keywords)
        yield Run(result, source, recorder.activations())


def _from_leaf(positional: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Tensor, tuple[Any, ...], dict[str, Any]]:
    """The first floating-point tensor of some arguments as a leaf, and the arguments with a copy of it in its place."""
    leaves, structure = tree_flatten((positional, keywords))
    for place, leaf in enumerate(leaves):
        if isinstance(leaf, Tensor) and leaf.is_floating_point():
            source = leaf.detach().requires_grad_()
            leaves[place] = source.clone()  # the model may write into it
            return source, *tree_unflatten(leaves, structure)
    found = sorted({str(leaf.dtype) if isinstance(leaf, Tensor) else type(leaf).__name__ for leaf in leaves})
    raise TypeError(
        f"inputs holds no floating-point tensor, which alone has a gradient; found {', '.join(found) or 'nothing'}: "
        "pass the image as float, or explain a layer by camfast.cam"
    )
