"""Confidence intervals by resampling, of one set of values or of two that belong together."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camfast._extras import require

Statistic = Literal["mean", "median"] | Callable[[NDArray[np.float64]], float]
Method = Literal["bca", "percentile"]

_STATISTICS: dict[str, Callable[..., Any]] = {"mean": np.mean, "median": np.median}
_METHODS: dict[str, str] = {"bca": "BCa", "percentile": "percentile"}
_NUMBERS_AT_ONCE = 2**18  # 2 MiB: what is drawn stays in cache


@dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval.

    Attributes
    ----------
    estimate, low, high : float
        The statistic of the values, and the ends of its interval; NaN ends for fewer than two values.
    level : float
        Of confidence.
    count : int
        How many values, or pairs, it rests on.
    undefined : int
        How many were NaN and left out.
    method : str
        ``"bca"``, or ``"percentile"`` where that was asked for or BCa isn't defined.
    """

    estimate: float
    low: float
    high: float
    level: float
    count: int
    undefined: int
    method: str

    def excludes(self, value: float = 0.0) -> bool:
        """Whether a value lies outside: for a difference and 0, whether there is an order at this level."""
        return value < self.low or value > self.high

    def __str__(self) -> str:
        left_out = f", {self.undefined} undefined left out" if self.undefined else ""
        ends = f"[{self.low:.4g}, {self.high:.4g}]"
        return f"{self.estimate:.4g} {ends} ({100 * self.level:g} %, n = {self.count}{left_out})"


def bootstrap(
    values: Tensor | Sequence[float] | NDArray[np.floating[Any]],
    *,
    statistic: Statistic = "mean",
    level: float = 0.95,
    resamples: int = 4999,
    seed: int = 0,
    method: Method = "bca",
) -> Interval:
    """Confidence interval of a statistic by resampling the values with replacement.

    Parameters
    ----------
    values
        One number a sample, (N,); NaN are left out and counted.
    statistic
        ``"mean"``, ``"median"``, or a function of an array (n,) that gives a number.
    level
        Of confidence, between 0 and 1.
    resamples
        How often values are drawn.
    seed
        Of the draws.
    method
        ``"bca"``, corrected for bias and skew; ``"percentile"``.

    Returns
    -------
    Interval
        Estimate, ends, and how many values it rests on. Where all values are equal the interval is that value; where
        BCa isn't defined (leaving one value out changes nothing) the percentiles stand in, and ``method`` says so.

    Raises
    ------
    MissingExtraError
        Without the extra ``fit``, which brings scipy.
    ValueError
        If an argument doesn't fit; the message names it.

    References
    ----------
    Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 14; by `scipy.stats.bootstrap`.

    Examples
    --------
    >>> found = camfast.metrics.bootstrap(torch.arange(100.0))
    >>> found.estimate, round(found.low), round(found.high)
    (49.5, 44, 55)
    """
    return _interval(_numbers("values", values), statistic, level, resamples, seed, method)


def paired_bootstrap(
    a: Tensor | Sequence[float] | NDArray[np.floating[Any]],
    b: Tensor | Sequence[float] | NDArray[np.floating[Any]],
    *,
    statistic: Statistic = "mean",
    level: float = 0.95,
    resamples: int = 4999,
    seed: int = 0,
    method: Method = "bca",
) -> Interval:
    """Confidence interval of a difference a − b between two results for the same samples.

    The differences a[n] − b[n] are resampled, so that what samples have in common cancels. Two methods have an order at
    this level where the interval ``excludes(0)``.

    Parameters
    ----------
    a, b
        One number a sample each, (N,), of the same samples in the same order; pairs with a NaN are left out.
    statistic, level, resamples, seed, method
        See `bootstrap`; the statistic is that of the differences.

    Returns
    -------
    Interval
        Of the difference.

    Raises
    ------
    MissingExtraError
        Without the extra ``fit``, which brings scipy.
    ValueError
        If an argument doesn't fit; the message names it.

    References
    ----------
    Efron and Tibshirani, An introduction to the bootstrap, 1993.

    Examples
    --------
    >>> images = torch.arange(50.0)
    >>> camfast.metrics.paired_bootstrap(images + 1 + 0.01 * images.sin(), images).excludes(0)
    True
    """
    first, second = _numbers("a", a), _numbers("b", b)
    if len(first) != len(second):
        raise ValueError(f"a and b must be of the same samples, found {len(first)} and {len(second)} numbers")
    return _interval(first - second, statistic, level, resamples, seed, method)


def _numbers(name: str, values: Any) -> NDArray[np.float64]:
    if isinstance(values, Tensor):
        values = values.detach().to("cpu", torch.float64).numpy()
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be one number a sample, (N,), found {type(values).__name__}") from None
    if array.ndim != 1:
        raise ValueError(f"{name} must be one number a sample, (N,), found {array.shape}")
    if np.isinf(array).any():
        raise ValueError(f"{name} must be finite or NaN, found {int(np.isinf(array).sum())} that are infinite")
    return array


def _interval(
    values: NDArray[np.float64], statistic: Statistic, level: float, resamples: int, seed: int, method: str
) -> Interval:
    if not callable(statistic) and statistic not in _STATISTICS:
        raise ValueError(f"statistic must be 'mean', 'median' or a function of an array, found {statistic!r}")
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(_METHODS)}, found {method!r}")
    if not isinstance(level, int | float) or not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, found {level!r}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, found {resamples}")
    stats = require("scipy.stats", "fit", "resampling")
    kept = values[~np.isnan(values)]
    undefined = len(values) - len(kept)
    function = statistic if callable(statistic) else _STATISTICS[statistic]
    estimate = float(function(kept)) if len(kept) else math.nan
    if len(kept) < 2 or (kept == kept[0]).all():
        end = estimate if len(kept) > 1 else math.nan
        return Interval(estimate, end, end, level, len(kept), undefined, method)
    low = high = math.nan
    for used in (method, "percentile"):
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # the ends are NaN then, and looked at here
            found = stats.bootstrap(
                (kept,), function, vectorized=not callable(statistic), confidence_level=level, n_resamples=resamples,
                batch=max(1, _NUMBERS_AT_ONCE // len(kept)), random_state=np.random.default_rng(seed),
                method=_METHODS[used],
            )  # fmt: skip
        low, high = (float(end) for end in found.confidence_interval)
        if not math.isnan(low + high):
            break
    return Interval(estimate, low, high, level, len(kept), undefined, used)
