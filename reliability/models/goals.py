"""What is explained: random targets, and the scalars that they stand for, chosen by loops."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

import torch
from torch import Tensor

import camfast
from reliability.models.truth import Truth


@dataclass(frozen=True)
class Goal:
    """A target.

    Attributes
    ----------
    kind
        For the table.
    target
        What camfast is given.
    values
        The scalars (N, T) in the graph of a run; None where there is nothing to be explained.
    many
        Whether results have an axis of targets.
    classes
        (N, T), where classes are explained.
    unit_layer
        The layer of units.
    """

    kind: str
    target: Any
    values: Callable[[Truth], Tensor | None]
    many: bool
    classes: Callable[[Truth], Tensor] | None = None
    unit_layer: str | None = None


def draw_goal(rng: Random, truth: Truth, *, classes: bool = False) -> Goal:
    """A target that fits the scores of a run: mostly one that is not empty; classes alone where that is asked for."""
    goal = _draw_goal(rng, truth, classes)
    while goal.values(truth) is None and rng.random() < 0.9:
        goal = _draw_goal(rng, truth, classes)
    return goal


def _draw_goal(rng: Random, truth: Truth, only_classes: bool) -> Goal:
    if truth.scores.ndim > 2:
        return _regions(rng, truth)
    kinds = ("predicted", "class", "tensor", "all", "list", "function", "functions", "unit", "units")
    kind = rng.choice(kinds[:5] if only_classes else kinds)
    if kind in ("unit", "units"):
        return _units(rng, truth, 2 if kind == "units" else 1)
    samples, count = _matrix(truth).shape
    if kind == "function":
        return Goal(kind, _squares, lambda run: (_matrix(run) ** 2).sum(1)[:, None], False)
    if kind == "functions":
        return Goal(kind, _ends, lambda run: 2 * torch.stack([_matrix(run)[:, at] for at in (0, -1)], 1), True)
    one = rng.randrange(count)
    each = [rng.randrange(count) for _ in range(samples)]
    some = [rng.randrange(count) for _ in range(rng.choice((1, 2, 3)))]
    targets: dict[str, tuple[Any, Callable[[Truth], Tensor]]] = {
        "predicted": ("predicted", lambda run: _matrix(run).detach().argmax(1)[:, None]),
        "class": (one, lambda _: torch.full((samples, 1), one)),
        "tensor": (torch.tensor(each), lambda _: torch.tensor(each)[:, None]),
        "all": ("all", lambda _: torch.arange(count).repeat(samples, 1)),
        "list": (some, lambda _: torch.tensor(some).repeat(samples, 1)),
    }
    target, classes = targets[kind]

    def values(run: Truth) -> Tensor:
        rows = [[_matrix(run)[n, c] for c in row] for n, row in enumerate(classes(run).tolist())]
        return torch.stack([torch.stack(row) for row in rows])

    return Goal(kind, target, values, kind in ("all", "list"), classes)


def _squares(scores: Tensor) -> Tensor:
    return scores.reshape(len(scores), -1).pow(2).sum(1)


def _ends(scores: Tensor) -> Tensor:
    return scores.reshape(len(scores), -1)[:, [0, -1]] * 2


def _matrix(run: Truth) -> Tensor:
    return run.scores[:, None] if run.scores.ndim == 1 else run.scores


def _units(rng: Random, truth: Truth, count: int) -> Goal:
    """Units of a layer, its last call."""
    name = rng.choice(list(truth.calls))
    shape = truth.calls[name][-1].value.shape[1:]
    places = [tuple(rng.randrange(extent) for extent in shape) for _ in range(count)]
    units = [camfast.Unit(name, place[0] if len(place) == 1 else place) for place in places]

    def values(run: Truth) -> Tensor:
        return torch.stack([run.calls[name][-1].value[(slice(None), *place)] for place in places], 1)

    return Goal("units" if count > 1 else "unit", units if count > 1 else units[0], values, count > 1, None, name)


def _regions(rng: Random, truth: Truth) -> Goal:
    where, mask = _where(rng, truth)
    count = truth.scores.shape[1]
    classes = [rng.randrange(count) for _ in range(rng.choice((1, 1, 2)))]
    many = len(classes) > 1
    regions = [camfast.Region(one, where) for one in classes]

    def values(run: Truth) -> Tensor | None:
        sums = []
        for one in classes:
            inside = mask(run.scores, one)
            if inside is None or not all(bool(sample.any()) for sample in inside):
                return None
            sums.append(torch.stack([scores[one][m].sum() for scores, m in zip(run.scores, inside, strict=True)]))
        return torch.stack(sums, 1)

    return Goal("region", regions if many else regions[0], values, many)


def _where(rng: Random, truth: Truth) -> tuple[Any, Callable[[Tensor, int], Tensor | None]]:
    """A place, and the mask (N, *S) that it stands for."""
    scores = truth.scores
    spatial = tuple(scores.shape[2:])
    kind = rng.choice(("mask", "masks", "image", "predicted", "threshold", "point", "box", "component"))
    if kind in ("mask", "masks"):
        generator = torch.Generator().manual_seed(rng.randrange(10**6))
        given = torch.rand(*(() if kind == "mask" else (len(scores),)), *spatial, generator=generator) < 0.4
        return given, lambda scores, _: given.expand(len(scores), *spatial)
    if kind == "image":
        return "image", lambda scores, _: torch.ones(len(scores), *spatial, dtype=torch.bool)
    if kind == "threshold":
        limit = rng.choice((0.1, 0.25, 0.5))
        return camfast.predicted(limit), lambda scores, one: scores.exp()[:, one] / scores.exp().sum(1) > limit
    if kind == "point":
        point = tuple(rng.randrange(extent) for extent in spatial)
        return point, lambda scores, _: _filled(scores, point)
    if kind == "box":
        box = tuple(slice(rng.randrange(extent), None, rng.choice((None, 2))) for extent in spatial)
        return box, lambda scores, _: _filled(scores, box)
    if kind == "component":
        which = rng.choice((0, -1, 1))
        return camfast.component(which), lambda scores, one: _components(scores.argmax(1) == one, which)
    return "predicted", lambda scores, one: scores.argmax(1) == one


def _filled(scores: Tensor, place: tuple[Any, ...]) -> Tensor:
    mask = torch.zeros(len(scores), *scores.shape[2:], dtype=torch.bool)
    for sample in mask:
        sample[place] = True
    return mask


def _components(predicted: Tensor, which: int) -> Tensor | None:
    """The component of a rank by size, found by walking from cell to cell; None where there is none, or a tie."""
    found = []
    for sample in predicted:
        left = {tuple(cell) for cell in sample.nonzero().tolist()}
        parts = []
        while left:
            part, pending = set(), [min(left)]
            while pending:
                cell = pending.pop()
                if cell in left:
                    left.remove(cell)
                    part.add(cell)
                    steps = product((-1, 0, 1), repeat=len(cell))
                    pending += [tuple(map(sum, zip(cell, step, strict=True))) for step in steps]
            parts.append(part)
        parts.sort(key=len, reverse=True)  # the first cell's order at ties
        if not -len(parts) <= which < len(parts):
            return None
        mask = torch.zeros_like(sample)
        for cell in parts[which]:
            mask[cell] = True
        found.append(mask)
    return torch.stack(found)
