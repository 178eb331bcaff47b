"""The layers that stand for a model's depths, found by running it once without a graph."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from math import prod
from typing import Any

from torch import Tensor, nn

from camfast.passes import run
from camfast.recorder import CaptureOptions, Extract, find_tensor

Shapes = dict[str, tuple[int, ...]]

# a module with so many sizes of grid in it is a network in itself, such as a backbone: it is opened
_GRIDS_OF_A_NETWORK = 3


def depths(model: nn.Module, inputs: Any, rank: int, output: Extract | None = None) -> list[str]:
    """List the layers whose outputs are the depths of a model, in the order in which they finish.

    A depth is the output (N, C, *S) of a block, or of a layer outside of blocks, with more than one cell. A block is a
    module that isn't an ``nn.Sequential`` and holds fewer than three sizes of grid. A layer without a kernel that
    leaves the shape as it is stands in for the one before it. What the model returns is no depth.

    Parameters
    ----------
    model
        An unwrapped module, left as it was.
    inputs
        What the model takes.
    rank
        Number of spatial axes.
    output
        Finds the scores in what the model returns.
    """
    shapes, returned = _outputs(model, inputs, rank, output)
    modules = dict(model.named_modules())
    kept: list[str] = []
    for name in sorted(_blocks(model, "", shapes), key=list(shapes).index):
        if prod(shapes[name][2:]) == 1 or name in returned:
            continue
        if kept and shapes[name] == shapes[kept[-1]] and _follows_another(modules[name]):
            kept.pop()
        kept.append(name)
    return kept


def _follows_another(module: nn.Module) -> bool:
    """Whether a module is a normalisation, activation, dropout: a layer without parts and without a kernel."""
    return not list(module.children()) and all(parameter.ndim < 3 for parameter in module.parameters())


def _blocks(module: nn.Module, prefix: str, shapes: Shapes) -> Iterator[str]:
    for key, child in module.named_children():
        name = f"{prefix}{key}"
        grids = {shape[2:] for inner, shape in shapes.items() if inner.startswith(f"{name}.")}
        if name in shapes and len(grids) < _GRIDS_OF_A_NETWORK and not isinstance(child, nn.Sequential):
            yield name
        else:
            yield from _blocks(child, f"{name}.", shapes)


def _outputs(model: nn.Module, inputs: Any, rank: int, output: Extract | None) -> tuple[Shapes, set[str]]:
    """The shape that each layer gave last, in the order of finishing, and the layers that gave the model's output."""
    owner = threading.get_ident()
    shapes: Shapes = {}
    tensors: dict[str, weakref.ref[Tensor]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, args: Any, result: Any) -> None:  # noqa: ARG001 (torch's signature)
            mine = threading.get_ident() == owner and isinstance(result, Tensor) and result.is_floating_point()
            if mine and result.ndim == rank + 2:
                shapes.pop(name, None)
                shapes[name], tensors[name] = tuple(result.shape), weakref.ref(result)

        return hook

    with ExitStack() as stack:
        for name, module in model.named_modules():
            if name:
                stack.callback(module.register_forward_hook(note(name)).remove)
        scores_of = partial(find_tensor, extract=output, who="the model", argument="output")
        options = CaptureOptions(output=output, layer_output=scores_of, graph=False)
        scores = run(model, inputs, ("",), options, lambda found: found.scores)
    return shapes, {name for name, tensor in tensors.items() if tensor() is scores}
