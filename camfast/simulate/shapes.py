"""Built-in assemblies: simple densities that differ in more than their size, drawn at about 10 Å a voxel."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError

Array = NDArray[np.float64]
Distance = Callable[[Array, Array, Array], Array]

RADIUS = 11.0
"""No assembly reaches farther from its centre than this, in voxels."""


def _bar(a: Array, b: Array, c: Array, half_length: float, radius: float) -> Array:
    """Signed distance to a round-ended bar along the first axis."""
    return np.sqrt(np.maximum(np.abs(a) - half_length, 0) ** 2 + b**2 + c**2) - radius


def _arm(points: tuple[Array, Array, Array], direction: tuple[float, float, float], length: float) -> Array:
    """Signed distance to a round-ended arm of radius 3 from the centre outwards."""
    unit = np.asarray(direction) / np.linalg.norm(direction)
    along = sum(p * u for p, u in zip(points, unit, strict=True))
    nearest = np.clip(along, 0, length)
    squares = [(p - nearest * u) ** 2 for p, u in zip(points, unit, strict=True)]
    return np.asarray(np.sqrt(np.sum(squares, axis=0)) - 3.0)


def _ball(z: Array, y: Array, x: Array) -> Array:
    return np.sqrt(z**2 + y**2 + x**2) - 6.5


def _barrel(z: Array, y: Array, x: Array) -> Array:
    return np.maximum(np.abs(np.hypot(y, x) - 5.5) - 1.5, np.abs(z) - 7.5)


def _cross(z: Array, y: Array, x: Array) -> Array:
    return np.minimum(_bar(x, y, z, 8.5, 2.0), _bar(y, x, z, 8.5, 2.0))


def _dumbbell(z: Array, y: Array, x: Array) -> Array:
    balls = np.sqrt((np.abs(z) - 6.2) ** 2 + y**2 + x**2) - 4.2
    return np.minimum(balls, _bar(z, y, x, 6.0, 1.5))


def _ring(z: Array, y: Array, x: Array) -> Array:
    return np.hypot(np.hypot(y, x) - 7.5, z) - 2.5


def _rod(z: Array, y: Array, x: Array) -> Array:
    return _bar(z, y, x, 8.0, 2.5)


def _shell(z: Array, y: Array, x: Array) -> Array:
    return np.abs(np.sqrt(z**2 + y**2 + x**2) - 8.0) - 1.5


def _tetrapod(z: Array, y: Array, x: Array) -> Array:
    corners = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
    return np.min([_arm((z, y, x), corner, 7.5) for corner in corners], axis=0)  # type: ignore[no-any-return]


SHAPES: dict[str, Distance] = {
    "ball": _ball,
    "barrel": _barrel,
    "cross": _cross,
    "dumbbell": _dumbbell,
    "ring": _ring,
    "rod": _rod,
    "shell": _shell,
    "tetrapod": _tetrapod,
}
"""Signed distance to the surface in voxels, negative inside, of coordinates (z, y, x) about the centre."""


def shape(name: str, size: int = 27) -> NDArray[np.float32]:
    """Draw a built-in assembly: density 1 inside, 0 outside, ½ − distance within half a voxel of the surface.

    Parameters
    ----------
    name
        A key of `SHAPES`.
    size
        Edge of the cubic box in voxels; 24 or more hold every assembly.

    Returns
    -------
    ndarray
        (size, size, size) in the order z, y, x, float32; the centre is (size − 1)/2 on each axis.

    Raises
    ------
    InputError
        If the name is unknown.

    Examples
    --------
    >>> ball = shape("ball", 24)
    >>> ball.shape, float(ball[12, 12, 12]), float(ball[0, 0, 0])
    ((24, 24, 24), 1.0, 0.0)
    """
    if name not in SHAPES:
        raise InputError(f"unknown shape {name!r}; known are {', '.join(SHAPES)}")
    axis = np.arange(size) - (size - 1) / 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.clip(0.5 - SHAPES[name](z, y, x), 0.0, 1.0).astype(np.float32)
