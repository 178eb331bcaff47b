"""What is explained: one scalar a sample for each target, chosen from a model's output."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import torch
from torch import Tensor, nn

from camfast import layers
from camfast.regions import Region


@dataclass(frozen=True)
class Unit:
    """A target: one unit of another layer, y[n] = F[n, index] with F what that layer returns in the same pass.

    Attributes
    ----------
    layer : str or torch.nn.Module
        Dotted name or module of the layer that the unit belongs to; it runs behind the explained one.
    index : int or tuple of int
        The entry of a vector of features (N, K); or (channel, *position) in features (N, K, *S). Where the layer runs
        several times, its last call counts.

    Examples
    --------
    >>> from torch.nn import Conv1d, Flatten, Linear, ReLU, Sequential
    >>> model = Sequential(Conv1d(1, 2, 3), Conv1d(2, 3, 3), ReLU(), Flatten(), Linear(12, 5))
    >>> units = [camfast.Unit("2", (0, 1)), camfast.Unit("2", (2, 3))]
    >>> camfast.cam(model, torch.ones(1, 1, 8), "0", units).shape
    torch.Size([1, 2, 8])
    """

    layer: str | nn.Module
    index: int | tuple[int, ...]

    def value(self, features: Tensor) -> Tensor:
        """The unit of each sample, (N,), from the features (N, K) or (N, K, *S) of its layer.

        Raises
        ------
        TypeError, ValueError
            If the index doesn't fit the features.
        """
        sizes = tuple(features.shape[1:])
        places: tuple[Any, ...] = tuple(self.index) if isinstance(self.index, Sequence) else (self.index,)
        wanted = "an int" if len(sizes) == 1 else f"a tuple of {len(sizes)} ints, (channel, *position)"
        if any(isinstance(place, bool) or not hasattr(place, "__index__") for place in places):
            raise TypeError(f"the index of a Unit must be an int or a tuple of ints, found {self.index!r}")
        if len(places) != len(sizes):
            raise ValueError(
                f"Unit({self.layer!r}, {self.index!r}): the layer returns {tuple(features.shape)}, whose units are "
                f"named by {wanted}"
            )
        entries = [index(place) for place in places]
        if not all(0 <= entry < extent for entry, extent in zip(entries, sizes, strict=True)):
            raise ValueError(
                f"Unit({self.layer!r}, {self.index!r}) is out of range: the layer returns {tuple(features.shape)}"
            )
        where: tuple[Any, ...] = (slice(None), *entries)
        return features[where]


@dataclass(frozen=True)
class Classes:
    """Classes that are known to be in range: a target without checks, which may change in place between calls.

    Attributes
    ----------
    indices : Tensor
        (N, T), on the device of the scores.
    many : bool
        Whether results have an axis of targets.
    """

    indices: Tensor
    many: bool


Target = int | str | Tensor | Sequence["int | Region | Unit"] | Region | Unit | Classes | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Selection:
    """Scalars chosen from an output.

    Attributes
    ----------
    values : Tensor
        y, (N, T), in the graph of the output.
    targets : Tensor or tuple
        What was chosen: classes (N,) or (N, T), regions, units, or the caller's function.
    many : bool
        Whether results have an axis of targets.
    scores : Tensor or None
        The output (N, C) of which the targets are classes; None for other targets.
    """

    values: Tensor
    targets: Any
    many: bool
    scores: Tensor | None = None


def named_units(model: nn.Module, target: Target) -> tuple[Target, tuple[str, ...]]:
    """A target whose units name their layers, and the dotted names of those layers.

    Raises
    ------
    TypeError, ValueError
        If the model has no such layer.
    """
    if isinstance(target, Unit):
        name = layers.find(model, target.layer)[0]
        return Unit(name, target.index), (name,)
    if not isinstance(target, Sequence) or isinstance(target, str) or not any(isinstance(t, Unit) for t in target):
        return target, ()
    named: list[Any] = [named_units(model, one)[0] for one in target]
    return named, tuple(dict.fromkeys(str(one.layer) for one in named if isinstance(one, Unit)))


def select(scores: Tensor, target: Target, units: Mapping[str, Tensor] | None = None) -> Selection:
    """Choose the scalars that are explained.

    Parameters
    ----------
    scores
        The model's output before softmax: (N, C), (N,) for a single score, or (N, C, *S) for segmentation.
    target
        ``"predicted"``: each sample's class of the largest score; an int; a LongTensor (N,) of one class a sample;
        ``"all"``, or a list of ints, of regions or of units: several targets; a `Region`; a `Unit`; a function of the
        output that returns (N,) or (N, T).
    units
        What the layers of units returned, by name; `named_units` says which are needed.

    Raises
    ------
    TypeError, ValueError
        If the target doesn't fit the output; the message says what would.
    """
    if callable(target):
        return _by_function(scores, target)
    places = _as_places(target)
    if places is not None:
        values = torch.stack([_total(place, scores, units or {}) for place in places], dim=1)
        many = not isinstance(target, Region | Unit)
        return Selection(values, places if many else target, many)
    if scores.ndim == 1:
        scores = scores[:, None]
    if scores.ndim > 2:
        raise ValueError(
            f"the model's output has the shape {tuple(scores.shape)}, one score for every class and position: explain "
            f"camfast.Region(class_index, where), not target={target!r}"
        )
    if scores.ndim == 0:
        raise ValueError(
            "the model returned a single number for the whole batch: it must be (N,), (N, C) or (N, C, *S)"
        )
    classes, many = class_indices(scores, target)
    return Selection(scores.gather(1, classes), classes if many else classes[:, 0], many, scores)


def classes_of(selection: Selection) -> Tensor:
    """The classes, (N,) or (N, T), of a selection for a method that knows nothing else.

    Raises
    ------
    ValueError
        If something else was chosen.
    """
    if not isinstance(selection.targets, Tensor):
        first = selection.targets[0] if isinstance(selection.targets, tuple) else selection.targets
        kind = type(first).__name__
        raise ValueError(
            f"method='cam' explains class scores by the weights of a linear layer, found a target of type {kind}: give "
            "classes, or use gradcam or hirescam"
        )
    return selection.targets


def class_indices(scores: Tensor, target: Any) -> tuple[Tensor, bool]:
    """Class indices (N, T) for scores (N, C), and whether the axis of targets is the caller's.

    Raises
    ------
    TypeError, ValueError
        If the target isn't one of classes that there are.
    """
    samples, count = scores.shape
    if isinstance(target, Classes):
        return target.indices, target.many
    if isinstance(target, str):
        if target == "predicted":
            return scores.detach().argmax(1, keepdim=True), False
        if target == "all":
            return torch.arange(count, device=scores.device).expand(samples, count), True
        raise ValueError(f"target must be 'predicted', 'all', a class or a list, found {target!r}")
    if isinstance(target, Tensor) and target.ndim > 0:
        return _one_class_a_sample(target, samples, count).to(scores.device)[:, None], False
    if isinstance(target, Sequence):
        indices = [_class_index(value, count) for value in target]
        if not indices:
            raise ValueError("target is an empty list: name at least one class")
        return torch.tensor(indices, device=scores.device).expand(samples, len(indices)), True
    return torch.full((samples, 1), _class_index(target, count), device=scores.device), False


def _class_index(value: Any, count: int) -> int:
    try:
        if isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool):
            raise TypeError
        class_index = index(value)
    except TypeError:
        raise TypeError(
            f"target must be a class index, a LongTensor of one a sample, or a list of them; found {value!r} "
            f"({type(value).__name__})"
        ) from None
    if not 0 <= class_index < count:
        raise ValueError(f"target={class_index} is out of range: the model has the classes 0 to {count - 1}")
    return class_index


def _one_class_a_sample(target: Tensor, samples: int, count: int) -> Tensor:
    if target.is_floating_point() or target.dtype == torch.bool or target.shape != (samples,):
        raise ValueError(
            f"a target tensor must hold one class index a sample, a LongTensor ({samples},); found {target.dtype} "
            f"{tuple(target.shape)}"
        )
    if not torch.compiler.is_compiling():  # a graph can't hold what depends on values
        for extreme in torch.aminmax(target) if samples else ():
            _class_index(extreme, count)
    return target.long().clone()  # autograd refuses to keep a tensor made under inference_mode


def _as_places(target: Any) -> tuple[Region | Unit, ...] | None:
    """The regions or units of a target, None where it has none."""
    if isinstance(target, Region | Unit):
        return (target,)
    if not isinstance(target, Sequence) or isinstance(target, str):
        return None
    kinds = {kind for kind in (Region, Unit) for one in target if isinstance(one, kind)}
    if not kinds:
        return None
    if len(kinds) > 1 or not all(isinstance(one, Region | Unit) for one in target):
        raise TypeError("a list of targets must hold classes only, regions only or units only")
    return tuple(target)


def _total(place: Region | Unit, scores: Tensor, units: Mapping[str, Tensor]) -> Tensor:
    if isinstance(place, Region):
        return place.total(scores)
    if place.layer not in units:
        raise ValueError(
            f"target is a Unit of layer {place.layer!r}, which camfast.cam and Explainer explain: give a class, a "
            "Region or a function of the output here"
        )
    value = place.value(units[str(place.layer)])
    if scores.requires_grad and not value.requires_grad:
        raise ValueError(
            f"Unit({place.layer!r}, {place.index!r}) doesn't depend on the explained layer, which runs behind it or "
            "beside it: explain a layer in front of the unit's"
        )
    return value


def _is_flat(values: Tensor) -> bool:
    return values.ndim == 1 or (values.ndim == 2 and values.shape[1] > 0)


def _by_function(scores: Tensor, target: Callable[[Tensor], Tensor]) -> Selection:
    values = target(scores)
    found = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
    if not isinstance(values, Tensor) or values.shape[:1] != scores.shape[:1] or not _is_flat(values):
        raise ValueError(
            f"a target function must return one scalar a sample, ({scores.shape[0]},) or ({scores.shape[0]}, T); "
            f"found {found}"
        )
    if scores.requires_grad and not values.requires_grad:
        raise ValueError("the target function returned values without a graph: compute them from the scores by torch")
    many = values.ndim == 2
    return Selection(values if many else values[:, None], target, many)
