"""The distribution of windows' scores as bars, for a page."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 48


@dataclass(frozen=True, slots=True)
class Bar:
    """Windows whose scores lie in one interval.

    Parameters
    ----------
    low, high
        The interval; scores at its end count to the next one.
    count
        How many there are.
    won
        How many of them have no larger score of another class.
    """

    low: float
    high: float
    count: int
    won: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Scores of one class over the windows.

    Parameters
    ----------
    bars
        From the lowest to the highest.
    windows
        Number of windows with finite scores.
    won
        In how many of them the class has the largest score.
    left_out
        Windows without a score, which the mask left out.
    """

    bars: tuple[Bar, ...]
    windows: int
    won: int
    left_out: int

    @property
    def most(self) -> int:
        """Windows of the highest bar."""
        return max((bar.count for bar in self.bars), default=0)

    @property
    def decades(self) -> list[int]:
        """Powers of ten up to the highest bar, for an axis of logarithms."""
        return [10**power for power in range(len(str(self.most)))]

    def height(self, count: int) -> float:
        """Height of a bar of so many windows, 0 to 1: log (1 + n), so that a single window is seen."""
        return float(np.log1p(count) / np.log1p(self.most)) if self.most else 0.0


def histogram(scores: Any, index: int | None) -> Histogram:
    """Count the scores of a class; without one, the largest score of each window.

    Parameters
    ----------
    scores
        Of all windows, (nz, ny, nx, C); NaN where one was left out.
    index
        The class.

    Examples
    --------
    >>> found = histogram(np.array([[[[0.0, 1.0], [3.0, 2.0], [np.nan, np.nan]]]]), 0)
    >>> found.windows, found.won, found.left_out, [bar.count for bar in found.bars if bar.count]
    (2, 1, 1, [1, 1])
    """
    values: NDArray[Any] = np.asarray(scores).reshape(-1, scores.shape[-1])
    largest = values.max(1)  # NaN where one of them is
    own = largest if index is None else values[:, index]
    known = np.isfinite(largest)
    own, wins = own[known], own[known] == largest[known]
    if not len(own):
        return Histogram((), 0, 0, len(values))
    counts, edges = np.histogram(own, BINS)
    won, _ = np.histogram(own[wins], edges)
    bars = tuple(Bar(float(edges[i]), float(edges[i + 1]), int(counts[i]), int(won[i])) for i in range(len(counts)))
    return Histogram(bars, len(own), int(wins.sum()), int((~known).sum()))
