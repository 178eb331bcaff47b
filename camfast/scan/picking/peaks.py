"""Local maxima of a map, block by block as of the whole."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError

CHUNK = 1 << 20
"""Voxels that are compared with their surroundings at a time."""


class Peaks(NamedTuple):
    """Voxels of a map that stand above what is around them.

    Parameters
    ----------
    position
        (z, y, x) in voxels of the volume, (P, 3), int64.
    value
        The map there, (P,), of the map's type.
    centre
        Centre of mass of what stands out there, (z, y, x) in voxels, (P, 3), float64.
    """

    position: NDArray[np.int64]
    value: NDArray[np.floating[Any]]
    centre: NDArray[np.float64]


def halo(distance: float) -> int:
    """Voxels around a block that `peaks` has to see for a distance: ⌊distance⌋.

    Raises
    ------
    InputError
        If the distance is no positive number.

    Examples
    --------
    >>> halo(1.0), halo(7.5)
    (1, 7)
    """
    if not (math.isfinite(distance) and distance > 0):
        raise InputError(f"distance is {distance!r}, expected a positive number of voxels")
    return math.floor(distance)


def peaks(
    block: Any,
    *,
    distance: float,
    inner: Sequence[slice] | None = None,
    first: Sequence[int] = (0, 0, 0),
    above: float = 0.0,
) -> Peaks:
    """Find the voxels whose value is the largest within a ball around them.

    ::

        v is a peak  ⇔  U(v) > above,  and for all w ≠ v with ‖w − v‖ ≤ distance:
                        U(w) < U(v),  or U(w) = U(v) and v comes before w in raster order

    So any two peaks are farther apart than ``distance``. Whether a voxel is a peak depends on its ball alone: blocks
    with a halo of `halo(distance)` voxels, less only where the volume ends, give the peaks of the whole volume, each
    in the block that has it in ``inner``, with the same bits.

    A peak's centre is the mean of the ball's voxels w, weighted by max(U(w) − U(v)/2, 0); the peak itself where it
    isn't above 0. A map that was upsampled from a coarse grid has its peaks in the middle of the grid's cells; the
    centre, to which the cells around contribute, is nearer to what the map shows.

    Parameters
    ----------
    block
        A map or a part of it (z, y, x), of floating point. Its faces count as the end of the volume.
    distance
        Radius of the ball in voxels.
    inner
        Where in the block peaks are wanted, a slice each of step 1 for (z, y, x); None is everywhere.
    first
        Index (z, y, x) in the volume of the block's first voxel, added to the positions.
    above
        Peaks have a value above this one.

    Returns
    -------
    Peaks
        In raster order.

    Raises
    ------
    InputError
        If the block has other axes, another type or values that are not finite, the distance is no positive number, or
        ``above`` is NaN.

    Examples
    --------
    >>> cam = np.zeros((8, 8, 8), np.float32)
    >>> cam[2, 3, 4], cam[2, 3, 6], cam[7, 0, 0] = 3.0, 2.0, 1.0
    >>> peaks(cam, distance=2).position.tolist()
    [[2, 3, 4], [7, 0, 0]]
    """
    values = np.asarray(block)
    reach = halo(distance)
    if values.ndim != 3:
        raise InputError(f"the map has the shape {values.shape}, expected (z, y, x); give one target's map at a time")
    if values.dtype.kind != "f":
        raise InputError(f"the map holds values of type {values.dtype}, expected floating point numbers")
    if math.isnan(above):
        raise InputError("above is NaN, expected a number")
    finite = np.isfinite(values)
    if not finite.all():
        place = np.argwhere(~finite)[0]
        where = tuple(int(i + o) for i, o in zip(place, first, strict=True))
        raise InputError(f"the map is {values[tuple(place)]} at voxel (z, y, x) = {where}, expected finite numbers")
    part = _part(inner, values.shape)
    around = _surroundings(values, part, reach)
    places = np.argwhere(_candidates(around, reach, distance, above)) + reach
    steps = _steps(distance)
    places = places[_largest(around, places, steps)]
    moved = np.array([p.start + o - reach for p, o in zip(part, first, strict=True)], np.int64)
    return Peaks(places + moved, around[tuple(places.T)], places + moved + _shift(around, places, steps))


def _part(inner: Sequence[slice] | None, shape: tuple[int, ...]) -> tuple[slice, ...]:
    bounds = [(0, n, 1) for n in shape] if inner is None else [s.indices(n) for s, n in zip(inner, shape, strict=True)]
    if any(step != 1 for _, _, step in bounds):
        raise InputError(f"inner is {inner!r}, expected slices of step 1")
    return tuple(slice(start, max(start, stop)) for start, stop, _ in bounds)


def _surroundings(values: NDArray[Any], part: tuple[slice, ...], reach: int) -> NDArray[Any]:
    """Copy a part and ``reach`` voxels on all its sides, −∞ where the block has none."""
    copy = np.full([p.stop - p.start + 2 * reach for p in part], -np.inf, values.dtype)
    source = [slice(max(p.start - reach, 0), p.stop + reach) for p in part]
    piece = values[tuple(source)]
    begin = [s.start - p.start + reach for s, p in zip(source, part, strict=True)]
    copy[tuple(slice(b, b + n) for b, n in zip(begin, piece.shape, strict=True))] = piece
    return copy


def _candidates(around: NDArray[Any], reach: int, distance: float, above: float) -> NDArray[np.bool_]:
    """Voxels of the part that are the largest in the cube inside the ball, but for ties."""
    sizes = [n - 2 * reach for n in around.shape]
    own = around[tuple(slice(reach, reach + n) for n in sizes)]
    half = max(h for h in range(reach + 1) if math.sqrt(3 * h * h) <= distance)  # √3·h: the way to the cube's corner
    largest = around[tuple(slice(reach - half, reach + n + half) for n in sizes)]
    for axis in range(3):
        largest = _running_max(largest, 2 * half + 1, axis)
    found: NDArray[np.bool_] = (own > above) & (own == largest)
    # On a plateau the voxel before comes first: of millions of voxels only corners are left.
    for axis in range(3) if reach else ():
        starts = [reach - (i == axis) for i in range(3)]
        found &= own != around[tuple(slice(b, b + n) for b, n in zip(starts, sizes, strict=True))]
    return found


def _running_max(values: NDArray[Any], width: int, axis: int) -> NDArray[Any]:
    """Largest of each ``width`` neighbours along an axis, ``width`` − 1 fewer than there are values."""
    result, seen = np.moveaxis(values, axis, 0), 1
    while seen < width:  # windows grow to twice their length, the last time to what is wanted
        step = min(seen, width - seen)
        result = np.maximum(result[:-step], result[step:])
        seen += step
    return np.moveaxis(result, 0, axis)


def _steps(distance: float) -> NDArray[np.int64]:
    """Steps (K, 3) from the centre of the ball to its other voxels, in raster order."""
    axis = np.arange(-math.floor(distance), math.floor(distance) + 1)
    steps = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = np.sqrt(np.square(steps).sum(axis=1)) <= distance
    ball: NDArray[np.int64] = steps[inside & steps.any(axis=1)]
    return ball


def _largest(around: NDArray[Any], places: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each place (P, 3) holds the largest value of its ball, and is the first that does."""
    found = np.ones(len(places), np.bool_)
    half = len(steps) // 2  # as the ball is symmetric, the first half of its voxels comes before its centre
    for some, own, others in _balls(around, places, steps):
        found[some] = (others[:, :half] < own).all(axis=1) & (others[:, half:] <= own).all(axis=1)
    return found


def _shift(around: NDArray[Any], places: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Way (P, 3) from each peak to the centre of mass of what is above half its value."""
    shift = np.zeros((len(places), 3))
    for some, own, others in _balls(around, places, steps):
        half = own.astype(np.float64) / 2
        weight = np.maximum(others - half, 0.0)
        total = weight.sum(axis=1, keepdims=True) + np.maximum(half, 0.0)
        for axis in range(3):
            moment = (weight * steps[:, axis]).sum(axis=1, keepdims=True)
            np.divide(moment, total, out=shift[some, axis, None], where=total > 0)
    return shift


def _balls(
    around: NDArray[Any], places: NDArray[np.int64], steps: NDArray[np.int64]
) -> Iterator[tuple[slice, NDArray[Any], NDArray[Any]]]:
    """Some places at a time: which, their values (p, 1), and those of the ball around them (p, K)."""
    pitch = np.array([around.shape[1] * around.shape[2], around.shape[2], 1])
    flat, centres, to = around.ravel(), places @ pitch, steps @ pitch
    count = max(1, CHUNK // max(1, len(steps)))
    for begin in range(0, len(places), count):
        some = slice(begin, begin + count)
        yield some, flat[centres[some], None], flat[centres[some, None] + to]
