"""What the values of a volume are like, merged from those of its blocks."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Statistics:
    """Count, extremes, mean and summed squares of the deviations from it, in float64.

    Parameters
    ----------
    count
        Number of values.
    low, high
        The extremes.
    mean
        The mean.
    squares
        Σ (x − mean)².
    """

    count: int
    low: float
    high: float
    mean: float
    squares: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """Look at some values, at least one."""
        mean = float(values.mean(dtype=np.float64))
        squares = sum(float(np.square(part.astype(np.float64) - mean).sum()) for part in values)
        return cls(values.size, float(values.min()), float(values.max()), mean, squares)

    @classmethod
    def merged(cls, found: Iterable["Statistics"]) -> "Statistics":
        """Merge those of several blocks, in their order.

        Source: Chan, Golub and LeVeque 1979, the pairwise update of a variance.
        """
        first, *rest = found
        count, low, high, mean, squares = first.count, first.low, first.high, first.mean, first.squares
        for one in rest:
            together, away = count + one.count, one.mean - mean
            squares += one.squares + away * away * count * one.count / together
            mean += away * one.count / together
            count, low, high = together, min(low, one.low), max(high, one.high)
        return cls(count, low, high, mean, squares)

    @property
    def deviation(self) -> float:
        """Standard deviation."""
        return float(np.sqrt(self.squares / self.count))
