"""Picks beside particles whose positions are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.scan.picking.picks import Picks


@dataclass(frozen=True, slots=True)
class Match:
    """How many picks of a class are particles of it; two of them add up.

    Parameters
    ----------
    matched
        Picks that have a particle, which is as many as particles that have a pick.
    picks, particles
        How many there are.
    """

    matched: int = 0
    picks: int = 0
    particles: int = 0

    @property
    def precision(self) -> float:
        """Share of the picks that are particles, NaN without picks."""
        return self.matched / self.picks if self.picks else float("nan")

    @property
    def recall(self) -> float:
        """Share of the particles that are picked, NaN without particles."""
        return self.matched / self.particles if self.particles else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both, 2·matched/(picks + particles); NaN without either."""
        return 2 * self.matched / both if (both := self.picks + self.particles) else float("nan")

    def __add__(self, other: "Match") -> "Match":
        return Match(self.matched + other.matched, self.picks + other.picks, self.particles + other.particles)


def pair(position: Any, centres: Any, radius: float) -> NDArray[np.int64]:
    """Give each pick in turn the nearest particle within a radius that none before it has.

    A pick with a larger value of the map goes first, as a person would look through the list; so later picks of the
    same particle are wrong ones.

    Parameters
    ----------
    position
        Picks (P, 3), the best first.
    centres
        Particles (Q, 3), in the same unit.
    radius
        Farthest that a pick is from its particle.

    Returns
    -------
    ndarray
        Index of each pick's particle (P,), −1 for none.

    Raises
    ------
    InputError
        If the radius is no positive number.

    Examples
    --------
    >>> pair([[0, 0, 0], [0, 0, 1], [0, 0, 9]], [[0, 0, 1], [0, 0, 2]], 2).tolist()
    [0, 1, -1]
    """
    if not radius > 0:
        raise InputError(f"radius is {radius!r}, expected a positive number")
    picked, known = (np.asarray(points, np.float64).reshape(-1, 3) for points in (position, centres))
    free = np.ones(len(known), np.bool_)
    found = np.full(len(picked), -1, np.int64)
    for number, place in enumerate(picked) if len(known) else ():
        distance = np.where(free, np.linalg.norm(known - place, axis=1), np.inf)
        nearest = int(distance.argmin())
        if distance[nearest] <= radius:
            found[number], free[nearest] = nearest, False
    return found


def match(
    picks: Picks, centres: Mapping[int, Sequence[Sequence[float]] | NDArray[Any]], radius: float | Mapping[int, float]
) -> dict[int, Match]:
    """Count, class by class, the picks that are particles of their class, each particle once: `pair`.

    Parameters
    ----------
    picks
        Of any classes, the best first.
    centres
        Positions (z, y, x) of the particles in voxels, by class; picks of other classes don't count.
    radius
        Farthest that a pick is from its particle in voxels, half of a particle's diameter being usual; one number, or
        one a class.

    Returns
    -------
    dict
        By class, in the order of ``centres``.

    Raises
    ------
    InputError
        If a radius is no positive number.

    Examples
    --------
    >>> picks = Picks(np.array([[4.0, 4, 4], [9, 9, 9]]), np.ones(2, np.float32), np.array([1, 1]), np.ones(2))
    >>> match(picks, {1: [(4, 4, 5), (0, 0, 0), (8, 9, 0)]}, 3.0)[1]
    Match(matched=1, picks=2, particles=3)
    """
    counts = {}
    for label, known in centres.items():
        own = picks.position[picks.label == label]
        reach = radius[label] if isinstance(radius, Mapping) else radius
        counts[label] = Match(int((pair(own, known, reach) >= 0).sum()), len(own), len(known))
    return counts
