"""From a layer's activations and gradients to its map, whichever way a method takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from camfast import ops
from camfast.components import first_component
from camfast.gradients import target_gradients
from camfast.head_chain import ClassRows, class_rows
from camfast.methods import COMPONENTS
from camfast.ops import FusedCam
from camfast.ops.checks import check_out
from camfast.ops.forms import FORMS, map_dtype
from camfast.recorder import CaptureOptions, plain
from camfast.targets import Selection, Unit
from camfast.upsample import Upsampling

Size = Sequence[int] | None
Reshape = Callable[[Tensor], Tensor] | None


@dataclass(frozen=True)
class Recipe:
    """How one layer's map is made.

    Attributes
    ----------
    method : str
        A name of `camfast.methods`.
    relu : bool
        Whether negative values of the grid are set to 0.
    upsampling : Upsampling
        From the grid to pixels.
    centre : bool
        Whether channels' means are subtracted before a singular vector is sought.
    backend : str, optional
        The kernels.
    """

    method: str
    relu: bool
    upsampling: Upsampling
    centre: bool = False
    backend: str | None = None

    def of_gradients(self, A: Tensor, G: Tensor, size: Size, out: FusedCam | None = None) -> FusedCam:
        """The map of activations (N, C, *S) with gradients (N, C, *S), or (T, N, C, *S) for T targets."""
        if self.method in COMPONENTS:
            product = G.to(map_dtype(G.dtype)) * A
            return self._of_features(product.transpose(0, 1) if G.ndim > A.ndim else product, A, size, out)
        up = self.upsampling
        return ops.fused_cam_parts(
            A, G, self.method, relu=self.relu, size=size, upsample=up.mode, sigma=up.sigma, gain=up.gain,
            centres=up.centres, out=out, backend=self.backend,
        )  # fmt: skip

    def of_activations(self, A: Tensor, size: Size, targets: int | None, out: Tensor | None = None) -> FusedCam:
        """The map of activations alone, the same for each target."""
        if targets is None:
            return self._of_features(A, A, size, _into(A, size, None, out))
        once = self._of_features(A, A, size, None)
        each = [part.unsqueeze(1).expand(-1, targets, *part.shape[1:]) for part in once if part is not None]
        grid, maps, weights = each
        return FusedCam(grid, maps if out is None else _written(out, maps), weights, None)

    def of_weights(self, A: Tensor, weights: Tensor, size: Size, out: FusedCam | None = None) -> FusedCam:
        """The map of activations with given channel weights, (N, C) or (N, T, C)."""
        grid, maps = (None, None) if out is None else (out.grid, out.maps)
        grid = ops.weighted_sum(A, weights, relu=self.relu, out=grid, backend=self.backend)
        return FusedCam(grid, grid if size is None else self._pixels(grid, size, maps), weights, None)

    def allocate(self, A: Tensor, size: Size, targets: int | None, maps: Tensor | None) -> FusedCam:
        """What `of_gradients` and `of_weights` write into, for all targets."""
        if self.method not in FORMS:
            return _into(A, size, targets, maps)
        return ops.allocate(A, self.method, size, targets=targets, maps=maps)

    def _of_features(self, features: Tensor, A: Tensor, size: Size, out: FusedCam | None) -> FusedCam:
        """The map of features (N, [T,] C, *S) along their first component."""
        lead = features.ndim - A.ndim + 1
        flat, weights = first_component(features.flatten(lead + 1), centre=self.centre)
        grid = flat.reshape(*flat.shape[:-1], *A.shape[2:])
        grid = grid.relu() if self.relu else grid
        if out is not None and out.weights is not None:
            grid, weights = _written(out.grid, grid), _written(out.weights, weights)
        if size is None:
            return FusedCam(grid, grid, weights, None)
        return FusedCam(grid, self._pixels(grid, size, None if out is None else out.maps), weights, None)

    def _pixels(self, grid: Tensor, size: Sequence[int], out: Tensor | None) -> Tensor:
        """The grid at a size; written into some targets of a larger result through a copy, as the ops want it whole."""
        if out is None or out.is_contiguous():
            return self.upsampling.apply(grid, size, out=out, backend=self.backend)
        return _written(out, self.upsampling.apply(grid, size, backend=self.backend))


def _into(A: Tensor, size: Size, targets: int | None, maps: Tensor | None) -> FusedCam:
    """Empty parts of a map that no form of `fused_cam` gives."""
    lead = (len(A),) if targets is None else (len(A), targets)
    dtype = map_dtype(A.dtype)
    if maps is None:
        maps = A.new_empty((*lead, *(A.shape[2:] if size is None else size)), dtype=dtype)
    grid = maps if size is None else A.new_empty((*lead, *A.shape[2:]), dtype=dtype)
    return FusedCam(grid, maps, A.new_empty((*lead, A.shape[1]), dtype=dtype), None)


def _written(out: Tensor, values: Tensor) -> Tensor:
    """Values in a tensor of the caller's, who may have made it under inference_mode."""
    with torch.inference_mode(out.is_inference()):
        return out.copy_(values)


def shaped(name: str, tensor: Tensor, reshape: Reshape) -> Tensor:
    """A layer's activation or gradient as (N, C, *S).

    Raises
    ------
    ValueError
        If it has other axes.
    """
    result = plain(tensor if reshape is None else reshape(tensor))
    if not 3 <= result.ndim <= 5:
        raise ValueError(
            f"the activation of layer {name!r} has the shape {tuple(result.shape)}, expected (N, C, *S) with one "
            "to three spatial axes: choose an earlier layer, or pass reshape="
        )
    return result


@dataclass(frozen=True)
class Task:
    """One layer of a pass: its activation as the scores depend on it, the same as A (N, C, *S), and how to map it."""

    name: str
    activation: Tensor
    A: Tensor
    recipe: Recipe
    size: Size

    def check_out(self, out: Tensor | None, targets: int | None) -> None:
        """Check the caller's tensor for the maps."""
        lead = (len(self.A),) if targets is None else (len(self.A), targets)
        check_out(out, lead, tuple(self.size or self.A.shape[2:]), (self.A,))

    def of_activations(self, targets: int | None, out: Tensor | None) -> FusedCam:
        """The layer's map without gradients."""
        return self.recipe.of_activations(self.A, self.size, targets, out)

    def of_weights(self, weights: Tensor, out: FusedCam | None) -> FusedCam:
        """The layer's map by given channel weights."""
        return self.recipe.of_weights(self.A, weights, self.size, out)


class Outputs:
    """Where the parts of maps are written: to new tensors each time, or to the same ones.

    Parameters
    ----------
    kept
        Whether tensors are kept for the next time.
    """

    def __init__(self, *, kept: bool = False) -> None:
        self._kept: dict[tuple[str, int | None], FusedCam] | None = {} if kept else None

    def of(self, task: Task, targets: int | None, maps: Tensor | None) -> FusedCam:
        """The parts of a layer's maps, not yet filled, with the caller's own tensor for the maps if there is one."""
        if self._kept is None or maps is not None:
            return task.recipe.allocate(task.A, task.size, targets, maps)
        key = task.name, targets
        if key not in self._kept:
            self._kept[key] = task.recipe.allocate(task.A, task.size, targets, None)
        return self._kept[key]


def by_gradients(
    tasks: Sequence[Task],
    selection: Selection,
    options: CaptureOptions,
    out: Tensor | None = None,
    *,
    outputs: Outputs | None = None,
    retain_graph: bool = False,
) -> dict[str, FusedCam]:
    """The parts of each layer's maps, differentiated for some of the targets at a time."""
    many, create_graph = selection.many, options.create_graph
    targets = selection.values.shape[1] if many else None
    outputs = outputs or Outputs()
    whole = [None if create_graph else outputs.of(task, targets, out) for task in tasks]
    pieces: list[list[FusedCam]] = [[] for _ in tasks]
    activations = [task.activation for task in tasks]
    gradients = target_gradients(
        selection.values,
        activations,
        rows=None if create_graph else _class_rows(selection, activations, retain_graph),
        retain_graph=retain_graph or create_graph,
        create_graph=create_graph,
        unused=_unused(tasks, selection),
    )
    for part, by_layer in gradients:
        for task, found, target, raw in zip(tasks, pieces, whole, by_layer, strict=True):
            G = plain(raw) if options.reshape is None else torch.stack([_reshaped(task, g, options) for g in raw])
            into = target.targets(part) if target is not None and many else target
            found.append(task.recipe.of_gradients(task.A, G if many else G[0], task.size, into))
    parts = [_joined(found) if target is None else target for found, target in zip(pieces, whole, strict=True)]
    return {task.name: part for task, part in zip(tasks, parts, strict=True)}


def _class_rows(selection: Selection, activations: Sequence[Tensor], retain_graph: bool) -> ClassRows | None:
    if selection.scores is None:
        return None
    classes = selection.targets if selection.many else selection.targets[:, None]
    return class_rows(selection.scores, classes, activations, keep=retain_graph or selection.values.shape[1] > 1)


def _reshaped(task: Task, gradient: Tensor, options: CaptureOptions) -> Tensor:
    return shaped(task.name, gradient, options.reshape)


def _unused(tasks: Sequence[Task], selection: Selection) -> str | None:
    """What is said where a target doesn't depend on a layer, if more is known than that."""
    first = selection.targets[0] if isinstance(selection.targets, tuple) else selection.targets
    if not isinstance(first, Unit):
        return None
    names = " or ".join(repr(task.name) for task in tasks)
    return (
        f"a unit of layer {first.layer!r} doesn't depend on layer {names}, which runs behind it or beside it: explain "
        "a layer in front of the unit's"
    )


def _joined(pieces: Sequence[FusedCam]) -> FusedCam:
    """The parts of all targets, from those of some targets each."""
    if len(pieces) == 1:
        return pieces[0]
    grid, maps, weights, flags = zip(*pieces, strict=True)
    return FusedCam(torch.cat(grid, 1), torch.cat(maps, 1), _cat(weights), _cat(flags))


def _cat(fields: Sequence[Tensor | None]) -> Tensor | None:
    present = [field for field in fields if field is not None]
    return torch.cat(present, dim=1) if present else None
