"""How far the shared trunk is from the exact one, measured where the volume is scanned."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from camfast.scan.bricks import Brick
from camfast.scan.exact import Exact
from camfast.scan.shared import Shared

LEAST, MOST = 8, 16  # windows of a sample


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


def measure(exact: Exact, shared: Shared, chosen: NDArray[np.bool_] | None) -> Difference:
    """Explain some windows both ways, the same ones each time.

    Parameters
    ----------
    exact, shared
        The two trunks, of the same explainer and volume.
    chosen
        Windows that the mask leaves, bool (nz, ny, nx); None: all.
    """
    counts = shared.plan.counts
    left = np.arange(int(np.prod(counts))) if chosen is None else np.flatnonzero(chosen)
    drawn = np.sort(np.random.default_rng(0).permutation(left)[: min(MOST, max(LEAST, len(left) // 256))])
    origin = np.zeros((1, 3), np.int64)
    pairs = []
    for number in drawn:
        z, y, x = (int(i) for i in np.unravel_index(number, counts))
        brick = Brick(shared.lattice, 0, (z, y, x), (1, 1, 1))
        found = [one.explain(one.begin(brick, one.read(brick)), origin) for one in (exact, shared)]
        pairs.append([(torch.as_tensor(one.grids).cpu().double(), one.scores.double()) for one in found])
    maps = [(float((b[0] - a[0]).norm()), float(a[0].norm())) for a, b in pairs]
    scores = [(float((b[1] - a[1]).norm()), float(a[1].norm())) for a, b in pairs]
    same = [bool((a[1].argmax(1) == b[1].argmax(1)).all()) for a, b in pairs]
    return Difference(
        len(drawn), _ratio(maps), max(away / max(size, 1e-300) for away, size in maps), _ratio(scores),
        sum(same) / max(1, len(same)),
    )  # fmt: skip


def _ratio(found: list[tuple[float, float]]) -> float:
    away, size = (sum(value**2 for value in column) ** 0.5 for column in zip(*found, strict=True))
    return away / max(size, 1e-300)
