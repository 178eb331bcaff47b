"""From the peaks of a map and the scores of its windows to particles."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.scan.picking.peaks import Peaks, peaks
from camfast.scan.windows.plan import Plan


@dataclass(frozen=True, eq=False, slots=True)
class Picks:
    """Particles that a scan found: the largest value of the map first, equal ones in raster order.

    Parameters
    ----------
    position
        (z, y, x) in voxels of the tomogram, (P, 3), float64; the first voxel's centre is 0.
    value
        The map at the peak, (P,), float32.
    label
        Index of the class, (P,), int64.
    probability
        Share of that class in the softmax of the nearest window's scores, (P,), float32; the logistic function of a
        single score. NaN where that window was left out.
    """

    position: NDArray[np.float64]
    value: NDArray[np.float32]
    label: NDArray[np.int64]
    probability: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.value)

    def take(self, which: NDArray[Any]) -> "Picks":
        """Keep those of a mask (P,) or of indices, in this order."""
        return Picks(*(getattr(self, field.name)[which] for field in fields(self)))


def merge(several: Sequence[Picks]) -> Picks:
    """Put the picks of blocks, or of classes, in one order, whatever the order they come in.

    Examples
    --------
    >>> one = Picks(np.zeros((1, 3)), np.ones(1, np.float32), np.array([3]), np.ones(1, np.float32))
    >>> two = Picks(np.ones((1, 3)), np.full(1, 2, np.float32), np.array([0]), np.ones(1, np.float32))
    >>> merge([one, two]).label.tolist()
    [0, 3]
    """
    nothing = Picks(np.empty((0, 3)), np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.float32))
    together = Picks(*(np.concatenate([getattr(p, f.name) for p in (nothing, *several)]) for f in fields(Picks)))
    z, y, x = together.position.T
    return together.take(np.lexsort((together.label, x, y, z, -together.value)))


def nearest_window(plan: Plan, position: Any) -> NDArray[np.int64]:
    """Index (z, y, x) on the grid of strides of the window whose centre is nearest to each position; (P, 3).

    A window with its first voxel at o has its centre at o + (w − 1)/2; of two that are equally near the first is taken.

    Parameters
    ----------
    plan
        Where the windows lie.
    position
        (z, y, x) in voxels, (P, 3).
    """
    window, stride, counts = (np.array(triple) for triple in (plan.window, plan.stride, plan.counts))
    steps = (np.asarray(position, np.float64).reshape(-1, 3) - (window - 1) / 2) / stride
    index: NDArray[np.int64] = np.clip(np.ceil(steps - 0.5).astype(np.int64), 0, counts - 1)
    return index


def choose(
    found: Peaks, scores: Any, plan: Plan, target: int, *, agree: bool = True, minimum_probability: float = 0.0
) -> Picks:
    """Keep the peaks of a class's map whose nearest window is predicted as that class.

    A map is large where its class's score comes from, also when another class has the larger score; so the map says
    where, and the window's prediction whether. ``agree=False`` believes the map alone: it finds more where the network
    is unsure, as at a lower signal-to-noise ratio than it was trained at, and then peaks want a threshold, such as two
    standard deviations of the map.

    Parameters
    ----------
    found
        Peaks of the map of ``target``, of the whole volume or of a block of it.
    scores
        The network's output for every window, (nz, ny, nx, C) on the grid of strides, before softmax; NaN where a
        window was left out, which never agrees.
    plan
        Where the windows lie.
    target
        Index of the class.
    agree
        Whether the window has to be predicted as the class: its largest score, or its single score above 0.
    minimum_probability
        Least `Picks.probability` of a pick.

    Returns
    -------
    Picks
        Where the peaks have their centres.

    Raises
    ------
    InputError
        If the scores aren't those of the plan, the class does not exist, or the probability is not within 0 and 1.

    Examples
    --------
    >>> from camfast.scan.windows.plan import plan_windows
    >>> cam = np.zeros((16, 16, 16), np.float32)
    >>> cam[4, 4, 4], cam[12, 12, 12] = 1.0, 2.0
    >>> scores = np.zeros((2, 2, 2, 3))
    >>> scores[0, 0, 0, 1] = 5.0
    >>> choose(peaks(cam, distance=3), scores, plan_windows((16, 16, 16), 8, 8), 1).position.tolist()
    [[4.0, 4.0, 4.0]]
    """
    outputs = np.asarray(scores.detach().cpu().float() if isinstance(scores, torch.Tensor) else scores, np.float64)
    if outputs.ndim != 4 or outputs.shape[:3] != plan.counts:
        raise InputError(f"scores have the shape {outputs.shape}, expected {(*plan.counts, 'C')}, one row a window")
    if not 0 <= target < outputs.shape[3]:
        raise InputError(f"target is {target}, expected a class from 0 to {outputs.shape[3] - 1}")
    if not 0 <= minimum_probability <= 1:
        raise InputError(f"minimum_probability is {minimum_probability!r}, expected a number from 0 to 1")
    own = outputs[tuple(nearest_window(plan, found.centre).T)]
    # A single score s says as much as the two scores s and 0.
    own = np.concatenate([own, np.zeros_like(own)], axis=1) if own.shape[1] == 1 else own
    others = np.delete(own, target, axis=1)
    kept = np.asarray((own[:, target, None] > others).all(axis=1)) if agree else np.ones(len(own), np.bool_)
    powers = np.exp(own - own.max(axis=1, keepdims=True, initial=-np.finfo(np.float64).max))
    probability = powers[:, target] / powers.sum(axis=1)
    if minimum_probability > 0:
        kept = kept & (probability >= minimum_probability)
    label = np.full(len(own), target, np.int64)
    every = Picks(found.centre, found.value.astype(np.float32), label, probability.astype(np.float32))
    return merge([every.take(kept)])


def default_distance(plan: Plan) -> float:
    """A third of a window's shortest edge, in voxels: about the radius of what fits it with its surroundings."""
    return max(1.0, min(plan.window) / 3)


def pick(
    cam: Any,
    scores: Any,
    plan: Plan,
    target: int,
    *,
    distance: float | None = None,
    above: float = 0.0,
    agree: bool = True,
    minimum_probability: float = 0.0,
) -> Picks:
    """Find a class's particles in a map that fits memory: `camfast.scan.picking.peaks`, then `choose`.

    Parameters
    ----------
    cam
        The map of ``target``, array or tensor (z, y, x).
    scores, plan, target, agree, minimum_probability
        As for `choose`.
    distance
        Voxels by which picks are apart at least, but for the way from a peak to its centre; None is a third of the
        window's shortest edge.
    above
        Least value of the map, itself left out.

    Returns
    -------
    Picks
        Sorted by the map's value.

    Raises
    ------
    InputError
        As `peaks` and `choose`, or if the map isn't of the plan's shape.
    """
    values = np.asarray(cam.detach().cpu().float() if isinstance(cam, torch.Tensor) else cam)
    if values.shape != plan.shape:
        raise InputError(f"the map has the shape {values.shape}, expected the volume's {plan.shape}")
    reach = default_distance(plan) if distance is None else distance
    found = peaks(values, distance=reach, above=above)
    return choose(found, scores, plan, target, agree=agree, minimum_probability=minimum_probability)
