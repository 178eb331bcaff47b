"""The centres of a layer's cells in input pixels, by receptive-field arithmetic along the operations that run."""

from collections.abc import MutableMapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from camfast import guards, layers
from camfast.errors import CaptureError
from camfast.grids import Axis, Call, Grid, Lost, Merged, Operand, moved, rule_of
from camfast.inputs import arguments, call, tensors
from camfast.recorder import CaptureOptions, Form, Recorder


def receptive_field_centres(model: nn.Module, layer: str | nn.Module, inputs: Any) -> tuple[tuple[float, float], ...]:
    """Find where the cells of a layer's grid are centred in the input.

    Along each axis cell i is centred at start + i · step, in input pixels. A convolution or pooling of k taps with
    dilation d, stride s and padding p makes of (start, step)::

        start' = start + step · ((k − 1) d / 2 − p)
        step'  = step · s

    and every other operation has its rule: transposed convolutions, interpolation, slices, padding, concatenation,
    regrouped and permuted dimensions. The model is run once, and the tensors are followed through what torch really
    executes, so it doesn't matter how the model is written. Where branches meet whose centres differ by a cell at most,
    their mean is taken. What `ceil_mode` or a border cuts off a window does not move the centre of its cell.

    Parameters
    ----------
    model
        A module, left as it was.
    layer
        Dotted name or module; its last call counts.
    inputs
        What the model takes, a single image is enough: a tensor (N, C, *S_in), or a tuple of positional or dict of
        keyword arguments, of which the first tensor with one to three spatial axes is the image.

    Returns
    -------
    tuple of (float, float)
        (start, step) for each spatial axis, in pixels: what `camfast.cam` and `camfast.ops.gaussian_upsample` take as
        ``centres=``.

    Raises
    ------
    CaptureError
        If the layer isn't reached, has no grid, or lies behind an operation where its cells lose their place: global
        pooling, attention, a linear layer over positions, branches that disagree. The message names the operation.
    TypeError, ValueError
        If the model has no such layer, or the inputs hold no image.

    References
    ----------
    Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks", Distill.

    Examples
    --------
    >>> from torch.nn import Conv2d, MaxPool2d, Sequential
    >>> valid = Sequential(Conv2d(1, 1, 5), MaxPool2d(2))
    >>> camfast.receptive_field_centres(valid, "1", torch.ones(1, 1, 12, 12))
    ((2.5, 2.0), (2.5, 2.0))
    """
    inner = layers.unwrap(model)
    name, _ = layers.find(inner, layer)
    with torch.inference_mode(False), torch.no_grad():
        positional, keywords = arguments(inputs)
        images = [tensor for tensor in tensors((positional, keywords)) if 3 <= tensor.ndim <= 5]
        if not images:
            raise TypeError("inputs must hold a tensor (N, C, *S_in) with one to three spatial axes")
        rank = images[0].ndim - 2
        recorder = Recorder([name], CaptureOptions(), Form(detach=True, copy=True))
        untouched = guards.model_untouched(inner)
        with untouched, recorder.alone(), recorder.attached(inner), _Follower(images[0]) as follower:
            call(inner, positional, keywords)
        (activation,) = recorder.activations().values()
    grid = follower.grid(activation)
    axes = [entry for entry in grid if isinstance(entry, Axis)]
    if [axis.of for axis in axes] != list(range(rank)):
        raise CaptureError(_not_found(name, tuple(activation.shape), grid, rank))
    return tuple((float(axis.start), float(axis.step)) for axis in axes)


def _not_found(name: str, shape: tuple[int, ...], grid: Grid, rank: int) -> str:
    lost = [entry.where for entry in grid if isinstance(entry, Lost)]
    if lost:
        reason = f"its cells lose their place in the input {lost[-1]}"
    elif any(isinstance(entry, Merged) for entry in grid):
        reason = "its positions stand in one dimension, as tokens"
    else:
        reason = f"its activation {shape} has no grid of the input's {rank} spatial axes in their order"
    return (
        f"the cells of layer {name!r} have no centres: {reason}; name an earlier layer, or give centres= by hand, "
        "(start, step) in pixels for each axis"
    )


class _Follower(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own class hook
    """Notes for every tensor that this thread makes from an image where its cells lie in the image."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._grids: MutableMapping[Tensor, Grid] = WeakTensorKeyDictionary()
        # by each slice of a tensor, the arguments of the cut
        self._slices: MutableMapping[Tensor, dict[str, Any]] = WeakTensorKeyDictionary()
        axes = (Axis(axis, Fraction(0), Fraction(1)) for axis in range(image.ndim - 2))
        self._grids[image] = (None, None, *axes)

    def grid(self, tensor: Tensor) -> Grid:
        """What is known of a tensor's dimensions."""
        return self._grids.get(tensor, (None,) * tensor.ndim)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = {
            argument.name: args[place] if place < len(args) else kwargs.get(argument.name, argument.default_value)
            for place, argument in enumerate(func._schema.arguments)
        }
        known = any(leaf in self._grids for leaf in tree_leaves(given) if isinstance(leaf, Tensor))
        arguments = {key: self._operand(value) for key, value in given.items()} if known else {}
        result = func(*args, **kwargs)
        name = func._schema.name.partition("::")[2]
        name = name.removesuffix("_") or name
        if name == "slice":
            self._slices[result] = given
        if known:
            made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
            found = rule_of(func, name)(Call(name, arguments, [tuple(leaf.shape) for leaf in made]))
            grids = found if isinstance(found, list) else [found] + [(None,) * leaf.ndim for leaf in made[1:]]
            for leaf, grid in zip(made, grids, strict=True):
                self._note(leaf, grid)
            if name == "copy":
                self._written(result, given["src"])
        return result

    def _note(self, tensor: Tensor, grid: Grid) -> None:
        if any(entry is not None for entry in grid):
            self._grids[tensor] = grid
        else:
            self._grids.pop(tensor, None)

    def _operand(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return Operand(tuple(value.shape), self.grid(value))
        return [self._operand(item) for item in value] if isinstance(value, list | tuple) else value

    def _written(self, part: Tensor, source: Tensor) -> None:
        """Let a tensor that is filled slice by slice take its places from the first, unless another contradicts it."""
        own = part.untyped_storage().data_ptr() == source.untyped_storage().data_ptr()  # circular padding wraps around
        while part in self._slices:
            cut, grid = self._slices[part], list(self.grid(part))
            whole, dim, step = cut["self"], cut["dim"] % part.ndim, cut["step"]
            first = slice(cut["start"], None).indices(whole.shape[dim])[0]
            grid[dim] = moved(grid[dim], Fraction(-first, step), Fraction(1, step), "at copy")
            if whole not in self._grids or (any(isinstance(entry, Lost) for entry in grid) and not own):
                self._note(whole, tuple(grid))
            part = whole
