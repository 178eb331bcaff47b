"""How far the shared trunk is from the exact one, measured on windows of the volume that is scanned."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from camfast.scan.windows.bricks import Brick
from camfast.scan.windows.exact import Exact, Explained
from camfast.scan.windows.plan import Shape

LEAST, MOST = 8, 64  # windows of a sample
_SHARE = 256  # of so many windows one is compared


def drawn(counts: Shape, chosen: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Draw windows that are compared, the same ones each time: bool (nz, ny, nx).

    Parameters
    ----------
    counts
        Windows along each axis.
    chosen
        Windows that the mask leaves; None: all.
    """
    left = np.arange(math.prod(counts)) if chosen is None else np.flatnonzero(chosen)
    found = np.zeros(math.prod(counts), np.bool_)
    count = min(MOST, max(min(LEAST, -(-len(left) // LEAST)), len(left) // _SHARE))
    found[np.random.default_rng(0).permutation(left)[:count]] = True
    return found.reshape(counts)


@dataclass(frozen=True, slots=True)
class Difference:
    """How far maps of the shared trunk are from the exact ones, on windows that were drawn from the volume.

    Parameters
    ----------
    windows
        How many were compared.
    maps
        ‖L_shared − L_exact‖ / ‖L_exact‖ over all of their maps.
    worst
        The largest of this of a single window.
    scores
        ‖y_shared − y_exact‖ / ‖y_exact‖ over the scores of all classes.
    same_class
        Share of the windows whose largest score is of the same class.
    """

    windows: int
    maps: float
    worst: float
    scores: float
    same_class: float

    @classmethod
    def of(cls, facts: Sequence[dict[str, float]]) -> Self:
        """Merge what `compared` found in the bricks."""
        found = [one for one in facts if one.get("compared")]

        def total(name: str) -> float:
            return sum(one[name] for one in found)

        return cls(
            int(total("compared")),
            _ratio(total("maps_away"), total("maps_size")),
            max((one["worst"] for one in found), default=0.0),
            _ratio(total("scores_away"), total("scores_size")),
            total("same_class") / max(1.0, total("compared")),
        )


def compared(exact: Exact, brick: Brick, rows: NDArray[np.int64], shared: Sequence[Explained]) -> dict[str, float]:
    """Compare some of a brick's windows, each by itself: sums of squares, which bricks add up.

    Parameters
    ----------
    exact
        The exact trunk.
    brick, rows
        The windows.
    shared
        What the shared trunk gave of each.
    """
    names = ("maps_away", "maps_size", "scores_away", "scores_size", "same_class", "worst")
    sums = dict.fromkeys(names, 0.0)
    for row, other in zip(rows.tolist(), shared, strict=True):
        z, y, x = (int(f + i) for f, i in zip(brick.first, np.unravel_index(row, brick.counts), strict=True))
        alone = Brick(brick.lattice, 0, (z, y, x), (1, 1, 1))
        own = exact.explain(exact.begin(alone, exact.read(alone)), np.zeros((1, 3), np.int64))
        away, size = _squares(other.grids, own.grids)
        sums["maps_away"] += away
        sums["maps_size"] += size
        sums["worst"] = max(sums["worst"], _ratio(away, size))
        away, size = _squares(other.scores, own.scores)
        sums["scores_away"] += away
        sums["scores_size"] += size
        sums["same_class"] += float(bool((other.scores.argmax(1) == own.scores.argmax(1)).all()))
    return {"compared": float(len(rows)), **sums}


def _squares(found: Tensor, expected: Tensor) -> tuple[float, float]:
    left, right = found.double(), expected.double()
    return float((left - right).square().sum()), float(right.square().sum())


def _ratio(away: float, size: float) -> float:
    return math.sqrt(away / size) if size > 0 else math.inf if away > 0 else 0.0
