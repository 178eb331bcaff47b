"""Regions of a segmentation: the set of positions whose scores of a class are added up and explained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camfast._extras import require
from camfast.ops.forms import map_dtype


@dataclass(frozen=True)
class Predicted:
    """The positions predicted as the region's class, see `predicted`."""

    threshold: float


@dataclass(frozen=True)
class Component:
    """A connected component of the positions predicted as the region's class, see `component`."""

    index: int


def predicted(threshold: float = 0.5) -> Predicted:
    """Select the positions where the softmax probability of the region's class exceeds a threshold.

    Parameters
    ----------
    threshold
        Probability, from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        If the threshold is no probability.

    Examples
    --------
    >>> scores = torch.tensor([[[[0.0, 0.0, 0.0]], [[-1.0, 1.0, 3.0]]]])
    >>> camfast.Region(1, camfast.predicted(threshold=0.9)).mask(scores)
    tensor([[[False, False,  True]]])
    """
    if isinstance(threshold, bool) or not hasattr(threshold, "__float__"):
        raise TypeError(f"threshold must be a probability, at least 0 and below 1, found {threshold!r}")
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold must be a probability, at least 0 and below 1, found {threshold}")
    return Predicted(float(threshold))


def component(index: int) -> Component:
    """Select a connected component of the positions predicted as the region's class (largest score there).

    Parameters
    ----------
    index
        By size: 0 the largest, −1 the smallest. Diagonal neighbours are connected.

    Raises
    ------
    TypeError
        If the index is no whole number.

    Examples
    --------
    >>> scores = torch.tensor([[[[0.0, 0.0, 0.0, 0.0]], [[1.0, 1.0, -1.0, 1.0]]]])
    >>> camfast.Region(1, camfast.component(-1)).mask(scores)
    tensor([[[False, False, False,  True]]])
    """
    if isinstance(index, bool) or not hasattr(index, "__index__"):
        raise TypeError(f"component wants a whole number, 0 for the largest component, found {index!r}")
    return Component(int(index))


@dataclass(frozen=True)
class Region:
    """A target for a model whose output is (N, C, *S): y[n] = Σ_{q ∈ M[n]} O[n, class_index, q].

    Attributes
    ----------
    class_index : int
        The class whose scores are added.
    where
        The set M: a bool mask (*S) or (N, *S), tensor or numpy array; ``"image"``, all positions; ``"predicted"``, the
        positions whose largest score is the class's; `predicted`; a point, as a tuple of ints; a box, as a tuple of
        slices; `component`. Where the output has one class, nothing is predicted, and a mask says where.

    Examples
    --------
    >>> scores = torch.arange(12.0).reshape(1, 3, 2, 2)
    >>> camfast.Region(1, (0, 1)).total(scores)
    tensor([5.])
    """

    class_index: int
    where: Any = "predicted"

    def total(self, scores: Tensor) -> Tensor:
        """Add the class's scores over the region.

        Parameters
        ----------
        scores
            O, (N, C, *S).

        Returns
        -------
        Tensor
            y, (N,), in the graph of the scores; float32 (float64 for float64).

        Raises
        ------
        TypeError
            If the class is no index.
        ValueError
            If the output has no positions, the class or the place is out of range, the region is empty, or it is what
            is predicted of an output that has one class.
        """
        if scores.ndim < 3:
            raise ValueError(
                f"Region explains outputs (N, C, *S), found the shape {tuple(scores.shape)}: give a class index"
            )
        if isinstance(self.class_index, bool) or not hasattr(self.class_index, "__index__"):
            raise TypeError(f"Region's class_index must be an int, found {self.class_index!r}")
        if not 0 <= self.class_index < scores.shape[1]:
            raise ValueError(
                f"Region's class_index={self.class_index} is out of range: the model has the classes 0 to "
                f"{scores.shape[1] - 1}"
            )
        mask = self.mask(scores)
        empty = (~mask.flatten(1).any(1)).nonzero().flatten().tolist()
        if empty:
            raise ValueError(
                f"the region of class {self.class_index}, where={_describe(self.where)}, is empty in sample "
                f"{empty[0]}: nothing there is to be explained; choose a class or a place that the output has, or "
                "where='image'"
            )
        inside = scores[:, self.class_index].masked_fill(~mask, 0).flatten(1)
        return inside.sum(1, dtype=map_dtype(scores.dtype))

    def mask(self, scores: Tensor) -> Tensor:
        """The set M as a bool tensor (N, *S)."""
        scores = scores.detach()
        spatial = tuple(scores.shape[2:])
        where = self.where
        if isinstance(where, np.ndarray):
            where = torch.from_numpy(where)
        if isinstance(where, Tensor):
            return self._given(where, scores)
        if isinstance(where, str) and where == "image":
            return torch.ones_like(scores[:, 0], dtype=torch.bool)
        if scores.shape[1] == 1 and (where == "predicted" or isinstance(where, Predicted | Component)):
            raise ValueError(
                "the output has one class, which is the largest everywhere, so that no position is predicted as "
                f"another: give a bool mask of your own, or where='image', in place of where={_describe(where)}"
            )
        if isinstance(where, str) and where == "predicted":
            return scores.argmax(1) == self.class_index
        if isinstance(where, Predicted):
            return scores.softmax(1)[:, self.class_index] > where.threshold
        if isinstance(where, Component):
            return _component(scores.argmax(1) == self.class_index, where.index, self.class_index)
        if isinstance(where, Sequence) and not isinstance(where, str) and len(where) == len(spatial):
            mask = torch.zeros_like(scores[:, 0], dtype=torch.bool)
            mask[(slice(None), *_place(where, spatial))] = True
            return mask
        raise ValueError(
            "Region's where must be a bool mask, 'image', 'predicted', camfast.predicted(threshold), "
            f"camfast.component(i), or a point or box of {len(spatial)} axes; found {_describe(where)}"
        )

    @staticmethod
    def _given(where: Tensor, scores: Tensor) -> Tensor:
        spatial = tuple(scores.shape[2:])
        if where.dtype != torch.bool or tuple(where.shape) not in (spatial, (scores.shape[0], *spatial)):
            raise ValueError(
                f"a region's mask must be a bool tensor {spatial} or {(scores.shape[0], *spatial)}, found "
                f"{where.dtype} {tuple(where.shape)}"
            )
        return where.to(scores.device).expand(scores.shape[0], *spatial)


def _place(where: Sequence[Any], spatial: tuple[int, ...]) -> tuple[Any, ...]:
    """A point or a box as an index, each axis checked."""
    for axis, (place, extent) in enumerate(zip(where, spatial, strict=True)):
        if isinstance(place, slice):
            _check_slice(place, axis)
            continue
        if isinstance(place, bool) or not hasattr(place, "__index__"):
            raise ValueError(f"a region's axis {axis} must be an int or a slice, found {place!r}")
        if not -extent <= place < extent:
            raise ValueError(f"the point {tuple(where)} lies outside of an output of size {spatial}")
    return tuple(where)


def _check_slice(place: slice, axis: int) -> None:
    for limit in (place.start, place.stop, place.step):
        if isinstance(limit, bool) or not (limit is None or hasattr(limit, "__index__")):
            raise ValueError(f"a region's axis {axis} must be sliced by ints, found {place}")
    if place.step is not None and place.step < 1:
        raise ValueError(f"a region's axis {axis} must be sliced upwards, by a step of at least 1, found {place}")


def _component(mask: Tensor, index: int, class_index: int) -> Tensor:
    ndimage = require("scipy.ndimage", "fit", "finding connected components")
    found = torch.zeros_like(mask)
    structure = np.ones((3,) * (mask.ndim - 1))
    for sample, pixels in enumerate(_looked_at(mask)):
        labels, count = ndimage.label(pixels, structure)
        if not -count <= index < count:
            raise ValueError(
                f"class {class_index} has {count} connected components in sample {sample}, and none of index {index}: "
                + (f"give one from {-count} to {count - 1}" if count else "it is predicted nowhere there")
            )
        sizes = torch.from_numpy(labels).flatten().bincount(minlength=count + 1)[1:]
        label = int(sizes.argsort(descending=True, stable=True)[index]) + 1
        found[sample] = torch.from_numpy(labels == label).to(mask.device)
    return found


def _looked_at(mask: Tensor) -> np.ndarray[Any, Any]:
    """The mask's values, also inside of `torch.func.vjp`, as in `camfast.head_map`: nothing differentiates a mask."""
    while torch._C._functorch.is_gradtrackingtensor(mask):
        mask = torch._C._functorch.get_unwrapped(mask)
    if torch._C._functorch.is_functorch_wrapped_tensor(mask):
        raise ValueError(
            "connected components depend on what is predicted, which can't be looked at under torch.func.vmap: find "
            "the mask outside of it, by Region.mask, and give that as where="
        )
    with torch._C._DisableFuncTorch():
        values: np.ndarray[Any, Any] = mask.cpu().numpy()
    return values


def _describe(where: Any) -> str:
    return f"a mask {tuple(where.shape)}" if isinstance(where, Tensor | np.ndarray) else repr(where)
