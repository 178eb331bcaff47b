"""Every op in numpy's extended precision, with the error that a kernel may make on each element.

Independent of `camfast.ops.reference`: loops over axes and samples, no torch. An `Exact` holds the value of every
element, NaN or infinite where the formula gives no number, and a bound that follows from the op's own promises:

- products and short sums in the dtype of maps, long ones in float64: a part `unit` of Σ|terms| at most;
- what underflows is lost: the smallest normal number of the dtype of maps for each term;
- what goes into a division carries its error there; where the divisor may be 0 by its own error, anything may come out;
- Gaussians are cut at 5.5 σ: what lies beyond.

A bound that isn't finite says that nothing is promised, as for sums beyond the largest number of the dtype.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

LONG = np.longdouble
Array = np.ndarray[Any, np.dtype[Any]]


class Arithmetic(NamedTuple):
    """What a backend promises: the error of a sum as a part of Σ|terms|, and its dtype's smallest and largest."""

    unit: float
    smallest: float
    largest: float


class Exact(NamedTuple):
    """Values and the error allowed for each."""

    value: Array
    bound: Array

    def relu(self) -> "Exact":
        """Negative values as 0; NaN stays."""
        return Exact(np.where(self.value < 0, 0, self.value), self.bound)


def _sum(terms: Array, axis: int, arithmetic: Arithmetic) -> Exact:
    """A sum of rounded products, whose terms may underflow; NaN and infinities as they come."""
    with np.errstate(all="ignore"):
        magnitude = np.abs(terms).sum(axis)
        bound = arithmetic.unit * magnitude + terms.shape[axis] * LONG(arithmetic.smallest)
        return Exact(terms.sum(axis), np.where(magnitude > arithmetic.largest, np.inf, bound))


def channel_weights(A: Array, G: Array, method: str, arithmetic: Arithmetic) -> Exact:
    """A (N, C, P), G (T, N, C, P); weights (N, T, C)."""
    A, G = A.astype(LONG)[:, None], G.astype(LONG).swapaxes(0, 1)
    positions = max(A.shape[-1], 1)
    with np.errstate(all="ignore"):
        S = _sum(A, -1, arithmetic)
        if method == "gradcam":
            return _divided(_sum(G, -1, arithmetic), LONG(positions), LONG(0), arithmetic)
        if method == "gradcam++":
            return _with_alpha(G, S, arithmetic)
        epsilon = LONG(1e-7) if method == "xgradcam" else positions * LONG(1e-10)
        return _divided(_sum(G * A, -1, arithmetic), S.value + epsilon, S.bound, arithmetic)


def _divided(numerator: Exact, divisor: Array, error: Array, arithmetic: Arithmetic) -> Exact:
    with np.errstate(all="ignore"):
        value = numerator.value / divisor
        room = np.abs(divisor) - error
        bound = (numerator.bound + np.abs(value) * error) / room + arithmetic.unit * np.abs(value) + arithmetic.smallest
        return Exact(value, np.where(room > error, bound, np.inf))


def _with_alpha(G: Array, S: Exact, arithmetic: Arithmetic) -> Exact:
    """Σ α·G with α = 1/(2 + S·G) where G > 0, else 0."""
    unit = arithmetic.unit
    product = S.value[..., None] * G
    divisor = 2 + product
    error = np.abs(G) * S.bound[..., None] + unit * (2 + np.abs(product))
    error = np.where(np.abs(product) > arithmetic.largest, np.inf, error)
    alpha = np.where(G > 0, 1 / divisor, LONG(0))
    total = _sum(alpha * G, -1, arithmetic)
    off = np.where(G > 0, np.abs(G) * error / (np.abs(divisor) * (np.abs(divisor) - error)), 0)
    off = np.where((G > 0) & ~(np.abs(divisor) > 2 * error), np.inf, off)
    return Exact(total.value, total.bound + off.sum(-1))


def weighted_sum(A: Array, weights: Exact, arithmetic: Arithmetic) -> Exact:
    """A (N, C, P), weights (N, T, C); (N, T, P)."""
    A = A.astype(LONG)[:, None]
    with np.errstate(all="ignore"):
        found = _sum(A * weights.value[..., None], 2, arithmetic)
        known = np.isfinite(weights.bound)[..., None]  # a weight that may be infinite makes NaN of 0
        carried = np.where((A == 0) & known, LONG(0), np.where(known, np.abs(A) * weights.bound[..., None], np.inf))
        return Exact(found.value, found.bound + carried.sum(2))


def product_sum(A: Array, G: Array, rectify: str, arithmetic: Arithmetic) -> Exact:
    """A (N, C, P), G (T, N, C, P); (N, T, P)."""
    A, G = A.astype(LONG)[:, None], G.astype(LONG).swapaxes(0, 1)
    with np.errstate(all="ignore"):
        if rectify == "gradients":
            G = np.where(G < 0, 0, G)
        product = G * A
        if rectify == "product":
            product = np.where(product < 0, 0, product)
        return _sum(product, 2, arithmetic)


def linear(cells: int, pixels: int, places: float = 2.0**-52) -> tuple[Array, Array]:
    """The matrix (pixels, cells) of an axis that is interpolated, and how much each number may be off.

    ``places`` is the rounding of a pixel's place, relative to the axis.
    """
    if cells == pixels:
        return np.eye(cells, dtype=LONG), np.zeros((cells, cells), LONG)
    source = np.clip((np.arange(pixels, dtype=LONG)[:, None] + LONG(0.5)) * cells / pixels - LONG(0.5), 0, cells - 1)
    away = np.abs(source - np.arange(cells, dtype=LONG))
    # a neighbour may also be one whose weight is 0 by less than that rounding
    return np.maximum(1 - away, 0), np.where(away < 1 + 1e-3, LONG(cells * places), LONG(0))


REACH = 5.5


def gaussian(cells: int, pixels: int, sigma: float, start: float, step: float, gain: str) -> tuple[Array, Array]:
    """The matrix (pixels, cells) of an axis, and how much each number may be off.

    Off by what lies beyond 5.5 σ and may be left out, and by the rounding of places and exponents in float64.
    """
    x, i = np.arange(pixels, dtype=LONG)[:, None], np.arange(cells, dtype=LONG)
    centre = LONG(start) + i * LONG(step)
    distance = (x - centre) / LONG(sigma)
    exponent = -(distance**2) / 2
    rounding = LONG(2.0**-51) * (1 - exponent + np.abs(distance) * (np.abs(centre) + x) / LONG(sigma))
    axis = {"spray": None, "average": 1, "mass": 0}[gain]
    if axis is not None:
        exponent = exponent - exponent.max(axis, keepdims=True)
        rounding = rounding + rounding.min(axis, keepdims=True)
    matrix = np.exp(exponent)
    faint = exponent < -(REACH**2) / 2 + rounding + 1e-9
    off = np.where(faint, np.maximum(matrix, LONG(1e-300)), 0) + np.where(rounding < 0.1, matrix * rounding * 2, 1)
    if axis is not None:  # what is off in one number is off in the sum that all are divided by
        total = matrix.sum(axis, keepdims=True)
        off = (off + matrix * off.sum(axis, keepdims=True) / total) / total
        matrix = matrix / total
    return matrix, off


def upsampled(grid: Exact, axes: Sequence[tuple[Array, Array]], arithmetic: Arithmetic) -> Exact:
    """Each axis behind the first two multiplied by its matrix.

    What isn't finite makes the pixels NaN that surely take something of it, and leaves those open that may.
    """
    finite = np.isfinite(grid.value)
    value, known = np.where(finite, grid.value, 0), np.isfinite(grid.bound) & finite
    magnitude, left, bound = np.abs(value), np.zeros_like(value), np.where(known, grid.bound, 0)
    spoilt, doubtful = (~finite).astype(LONG), (~known).astype(LONG)
    for axis, (matrix, may_miss) in enumerate(axes, 2):
        value, bound = _apply(value, matrix, axis), _apply(bound, matrix, axis)
        left = _apply(left, matrix + may_miss, axis) + _apply(magnitude, may_miss, axis)
        magnitude = _apply(magnitude, matrix, axis)
        spoilt = _apply(spoilt, np.where(matrix > 2 * may_miss, matrix, 0), axis)
        doubtful = _apply(doubtful, matrix + may_miss, axis)
    with np.errstate(all="ignore"):
        bound = bound + left + len(axes) * (arithmetic.unit * magnitude + 64 * LONG(arithmetic.smallest))
        # axes in any order: what one of them adds up may be beyond the largest number though the next makes it small
        gains = [np.maximum(np.abs(matrix).sum(1).max(), 1) for matrix, _ in axes]
        peak = np.abs(np.where(finite, grid.value, 0)).max(tuple(range(2, grid.value.ndim)), keepdims=True) * np.prod(
            gains
        )
        bound = np.where((peak > arithmetic.largest) | (doubtful > 0), np.inf, bound)
        return Exact(np.where(spoilt > 0, LONG(np.nan), value), bound)


def _apply(values: Array, matrix: Array, axis: int) -> Array:
    return np.moveaxis(np.tensordot(matrix, values, (1, axis)), 0, axis)


def running_max(values: Array, index: Array, candidate: Array, unit: Array) -> tuple[Array, Array]:
    """The larger of two numbers, NaN the largest, and where it came from; (N, P) all, unit (N, 1)."""
    taken = (candidate > values) | (np.isnan(candidate) & ~np.isnan(values))
    return np.where(taken, candidate, values), np.where(taken, unit, index)


def window_sum(total: Array, maps: Array, origins: Array, taper: Array, blend: str) -> Array:
    """One window after the other, in float64: the product rounded, then the sum."""
    found = total.copy()
    for window, origin in zip(maps.astype(np.float64), origins.tolist(), strict=True):
        at = (slice(None), *(slice(o, o + n) for o, n in zip(origin, taper.shape, strict=True)))
        with np.errstate(all="ignore"):
            if blend == "mean":
                found[at] = found[at] + taper * window
            else:
                found[at] = running_max(found[at], found[at], window, window)[0]
    return found
