"""What a caller gives as inputs: as the arguments of a model, and in words where the model fails on them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from camfast.errors import CaptureError

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments, of tensors that the model may change in place and autograd accepts.

    Parameters
    ----------
    inputs
        A tensor, a tuple of positional arguments, or a mapping of keyword arguments.

    Raises
    ------
    TypeError
        If they are a numpy array.
    """
    if isinstance(inputs, np.ndarray):
        raise TypeError("inputs is a numpy array: pass torch.from_numpy(inputs), with the batch as its first axis")
    positional = () if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple) else (inputs,)
    keywords = dict(inputs) if isinstance(inputs, Mapping) else {}
    copies: tuple[tuple[Any, ...], dict[str, Any]] = tree_map(
        lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, (tuple(positional), keywords)
    )
    return copies


def tensors(inputs: Any) -> list[Tensor]:
    """Every tensor that a model is given, in the order of its arguments."""
    found = tree_leaves(dict(inputs) if isinstance(inputs, Mapping) else inputs)
    return [leaf for leaf in found if isinstance(leaf, Tensor)]


def call(model: nn.Module, positional: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
    """Run a model; where it fails, the error says in notes what it was run on.

    Raises
    ------
    CaptureError
        If parameters that were made under inference_mode rule out a graph.
    """
    try:
        return model(*positional, **keywords)
    except RuntimeError as error:
        if "Inference tensors cannot be saved for backward" in str(error):
            raise CaptureError(
                "parameters of the model were made under inference_mode and can't be differentiated through: "
                "build or load the model outside of it, or copy.deepcopy it there"
            ) from error
        given = tensors((positional, dict(keywords)))
        error.add_note(f"camfast ran the model on {_described(given)}, without changing them")
        for expected in _expected(model, given):
            error.add_note(expected)
        raise


def _described(given: list[Tensor]) -> str:
    """Shapes and types of what a model was run on, for a person who has to find out why it failed."""
    found = [f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}" for tensor in given]
    return f"inputs of {', '.join(found)}" if found else "inputs without a tensor"


def _expected(model: nn.Module, given: list[Tensor]) -> Iterator[str]:
    """What the model's first convolution takes, where that isn't what the first input is."""
    convolutions = ((name, module) for name, module in model.named_modules() if isinstance(module, _CONVOLUTIONS))
    name, first = next(convolutions, ("", None))
    if first is None or not given:
        return
    axes, found = len(first.kernel_size), given[0]
    if found.ndim != axes + 2:
        yield f"the first convolution, {name!r}, takes (N, C, *S) with {axes} spatial axes, found {tuple(found.shape)}"
    elif found.shape[1] != first.in_channels:
        yield f"the first convolution, {name!r}, takes (N, {first.in_channels}, *S), found {tuple(found.shape)}"
