"""What a caller gives as inputs: as the arguments of a model, and in words where the model fails on them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from camfast.errors import CamfastError, CaptureError

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
    if isinstance(inputs, Tensor):
        return (inputs.clone(),), {}
    return copied(as_given(inputs))


def copied(given: tuple[tuple[Any, ...], dict[str, Any]]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments with a copy in the place of every tensor."""
    copies: tuple[tuple[Any, ...], dict[str, Any]] = tree_map(
        lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, given
    )
    return copies


def as_given(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments, of the caller's own tensors; see `arguments`."""
    if isinstance(inputs, np.ndarray):
        raise TypeError("inputs is a numpy array: pass torch.from_numpy(inputs), with the batch as its first axis")
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs) if isinstance(inputs, tuple) else (inputs,)), {}


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
    ValueError
        If the inputs were taken for one image without a batch axis.
    """
    try:
        result = model(*positional, **keywords)
    except CamfastError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        if "Inference tensors cannot be saved for backward" in str(error):
            raise CaptureError(
                "parameters of the model were made under inference_mode and can't be differentiated through: "
                "build or load the model outside of it, or copy.deepcopy it there"
            ) from error
        given = tensors((positional, dict(keywords)))
        error.add_note(f"camfast ran the model on {_described(given)}, without changing them")
        if any(isinstance(argument, list) for argument in positional):
            error.add_note("a list is passed on as one argument: several arguments of the model are a tuple")
        for expected in _expected(model, given):
            error.add_note(expected)
        raise
    _check_batch_axis(model, tensors((positional, dict(keywords))), result)
    return result


def _check_batch_axis(model: nn.Module, given: list[Tensor], result: Any) -> None:
    """Torch's layers take a single image without a batch axis, whose channels would then be taken for samples."""
    name, first = _first_convolution(model)
    if first is None or not given or given[0].ndim != len(first.kernel_size) + 1:
        return
    image, found = given[0], tensors(result)
    if image.shape[0] == first.in_channels and found and all(_extent(leaf) != image.shape[0] for leaf in found):
        raise ValueError(
            f"inputs of {tuple(image.shape)} have no batch axis: the first convolution, {name!r}, takes "
            f"(N, {first.in_channels}, *S) with {len(first.kernel_size)} spatial axes; pass inputs.unsqueeze(0)"
        )


def _extent(tensor: Tensor) -> int | None:
    return tensor.shape[0] if tensor.ndim else None


def _first_convolution(model: nn.Module) -> tuple[str, nn.Conv1d | nn.Conv2d | nn.Conv3d | None]:
    for name, module in model.named_modules():
        if isinstance(module, _CONVOLUTIONS):
            return name, module
    return "", None


def _described(given: list[Tensor]) -> str:
    """Shapes and types of what a model was run on, for a person who has to find out why it failed."""
    found = [f"{_type_of(tensor)} {tuple(tensor.shape)}" for tensor in given]
    return f"inputs of {', '.join(found)}" if found else "inputs without a tensor"


def _type_of(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _expected(model: nn.Module, given: list[Tensor]) -> Iterator[str]:
    """What the model's first convolution takes, where that isn't what the first input is."""
    name, first = _first_convolution(model)
    if first is None or not given:
        return
    axes, found, weight = len(first.kernel_size), given[0], first.weight
    if found.ndim != axes + 2:
        yield f"the first convolution, {name!r}, takes (N, C, *S) with {axes} spatial axes, found {tuple(found.shape)}"
    elif found.shape[1] != first.in_channels:
        yield f"the first convolution, {name!r}, takes (N, {first.in_channels}, *S), found {tuple(found.shape)}"
    if found.dtype != weight.dtype:
        yield f"the first convolution, {name!r}, has weights of {_type_of(weight)}: convert the inputs or the model"
    if found.device != weight.device:
        yield f"the first convolution, {name!r}, is on {weight.device}, the inputs on {found.device}: move one of them"
