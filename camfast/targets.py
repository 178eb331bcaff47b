"""What is explained: one scalar a sample for each target, chosen from a model's output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import torch
from torch import Tensor

from camfast.regions import Region

Target = int | str | Tensor | Sequence["int | Region"] | Region | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Selection:
    """Scalars chosen from an output.

    Attributes
    ----------
    values : Tensor
        y, (N, T), in the graph of the output.
    targets : Tensor or tuple
        What was chosen: classes (N,) or (N, T), regions, or the caller's function.
    many : bool
        Whether results have an axis of targets.
    """

    values: Tensor
    targets: Any
    many: bool


def select(scores: Tensor, target: Target) -> Selection:
    """Choose the scalars that are explained.

    Parameters
    ----------
    scores
        The model's output before softmax: (N, C), (N,) for a single score, or (N, C, *S) for segmentation.
    target
        ``"predicted"``: each sample's class of the largest score; an int; a LongTensor (N,) of one class a sample;
        ``"all"``, or a list of ints or of regions: several targets; a `Region`; a function of the output that returns
        (N,) or (N, T).

    Raises
    ------
    TypeError, ValueError
        If the target doesn't fit the output; the message says what would.
    """
    if callable(target) and not isinstance(target, Region):
        return _by_function(scores, target)
    regions = _as_regions(target)
    if regions is not None:
        values = torch.stack([region.total(scores) for region in regions], dim=1)
        return Selection(values, target if isinstance(target, Region) else regions, not isinstance(target, Region))
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
    classes, many = _classes(scores, target)
    return Selection(scores.gather(1, classes), classes if many else classes[:, 0], many)


def _classes(scores: Tensor, target: Any) -> tuple[Tensor, bool]:
    """Class indices (N, T), and whether the axis of targets is the caller's."""
    samples, count = scores.shape
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
    for extreme in torch.aminmax(target) if samples else ():
        _class_index(extreme, count)
    return target.long().clone()  # autograd refuses to keep a tensor made under inference_mode


def _as_regions(target: Any) -> tuple[Region, ...] | None:
    if isinstance(target, Region):
        return (target,)
    if not isinstance(target, Sequence) or isinstance(target, str) or not any(isinstance(t, Region) for t in target):
        return None
    if not all(isinstance(t, Region) for t in target):
        raise TypeError("a list of targets must hold classes only or regions only")
    return tuple(target)


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
    if not values.requires_grad:
        raise ValueError("the target function returned values without a graph: compute them from the scores by torch")
    many = values.ndim == 2
    return Selection(values if many else values[:, None], target, many)
