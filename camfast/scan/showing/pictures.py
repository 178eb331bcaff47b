"""Slices of a volume, and of its map over them, each with its place in a drawing of a page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast.plot.image import as_array, stretch_of
from camfast.plot.markers import UNITS
from camfast.plot.planes import HORIZONTAL, plane_of
from camfast.scan.showing.pixels import Limits, averaged, grey_uri, heat_uri
from camfast.scan.volumes import Volume

LARGEST = 800
"""Pixels along the longest side of a slice; larger ones are averaged by whole blocks of voxels."""
VERTICAL = (1, 0, 1)
"""The axis of the volume that runs down in the panel that looks along z, y and x."""


@dataclass(frozen=True, slots=True)
class Circle:
    """Where a sphere is cut, in voxels of a panel.

    Parameters
    ----------
    x, y
        Centre, from the panel's left and upper edge.
    radius
        Of the circle.
    """

    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class Panel:
    """One slice in a drawing whose unit is a voxel.

    Parameters
    ----------
    left, top, width, height
        Where it stands.
    reach
        Width and height that the pixels cover: more than the panel's where its size is no multiple of a block.
    density
        Data URI of the grey slice.
    heat
        Data URI of the map over it; empty without one.
    circles
        What is marked in it.
    """

    left: float
    top: float
    width: int
    height: int
    reach: tuple[int, int]
    density: str
    heat: str
    circles: tuple[Circle, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Three slices side by side: along z at the upper left, y below, x at the right.

    Parameters
    ----------
    width, height
        In voxels.
    panels
        The slices.
    at
        The voxel (z, y, x) that they go through.
    """

    width: float
    height: float
    panels: tuple[Panel, ...]
    at: tuple[int, int, int]


@dataclass(frozen=True, eq=False, slots=True)
class Slice:
    """A slice of a volume as it is shown.

    Parameters
    ----------
    pixels
        Averages of squares of voxels.
    shape
        Height and width in voxels.
    block
        Edge of a square in voxels.
    """

    pixels: NDArray[Any]
    shape: tuple[int, int]
    block: int


def slices_at(volume: Any, at: Sequence[int]) -> list[Slice]:
    """Read the three slices through a voxel: (y, x), (z, x) and (y, z)."""
    block = max(1, -(-max(volume.shape) // LARGEST))
    found = []
    for axis in range(3):
        plane = as_array(plane_of(volume, axis, at[axis]))
        found.append(Slice(averaged(plane, block), (plane.shape[0], plane.shape[1]), block))
    return found


def limits_of(slices: Sequence[Slice]) -> Limits:
    """Ends of the scales below and above 0: the 99.5th percentile of what is on that side.

    The scale below 0 is never the finer one: else the faint values against a class that are everywhere would cover
    what speaks for it.

    Examples
    --------
    >>> [limits_of([Slice(np.array(values), (1, 2), 1)]) for values in ([-0.1, 2.0], [-5.0, 2.0], [0.0, 0.0])]
    [(-2.0, 2.0), (-5.0, 2.0), (0.0, 1.0)]
    """
    values = np.concatenate([one.pixels.ravel() for one in slices])
    values = values[np.isfinite(values)]
    below, above = (values[side] for side in (values < 0, values > 0))
    low = float(np.percentile(below, 0.5)) if len(below) else 0.0
    high = float(np.percentile(above, 99.5)) if len(above) else 0.0
    return min(low, -high) if low < 0 else low, high if high > 0 or low < 0 else 1.0


def drawing(
    density: Sequence[Slice],
    heat: Sequence[Slice] | None,
    limits: Limits,
    at: Sequence[int],
    spheres: NDArray[np.float64],
    radius: float,
) -> Drawing:
    """Put three slices, as `slices_at` reads them, into one drawing.

    Parameters
    ----------
    density, heat
        The slices, and those of the map over them.
    limits
        Of the map's colours.
    at
        The voxel (z, y, x) that the slices go through.
    spheres
        Positions (P, 3), (z, y, x) in voxels, to be marked where a slice cuts a sphere around them.
    radius
        Of the spheres.
    """
    (height, width), depth = density[0].shape, density[1].shape[0]
    gap = max(1.0, 0.015 * (width + depth))
    stretch = stretch_of(np.concatenate([one.pixels.ravel() for one in density]))
    corners = ((0.0, 0.0), (0.0, height + gap), (width + gap, 0.0))
    panels = []
    for axis, (grey, (left, top)) in enumerate(zip(density, corners, strict=True)):
        rows, columns = grey.pixels.shape
        panels.append(
            Panel(
                left,
                top,
                width=grey.shape[1],
                height=grey.shape[0],
                reach=(columns * grey.block, rows * grey.block),
                density=grey_uri(grey.pixels, stretch),
                heat="" if heat is None else heat_uri(heat[axis].pixels, limits),
                circles=_circles(spheres, radius, axis, at[axis]),
            )
        )
    z, y, x = at
    return Drawing(width + gap + depth, height + gap + depth, tuple(panels), (z, y, x))


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A bar of a round length.

    Parameters
    ----------
    voxels
        Its length in voxels.
    text
        Its length in a unit.
    """

    voxels: float
    text: str


def scale_bar(volume: Volume) -> ScaleBar | None:
    """Make a bar of about a fifth of a volume's width; None where the voxel size is unknown.

    Examples
    --------
    >>> scale_bar(Volume(np.zeros((4, 100, 200)), (10.0, 10.0, 10.0)))
    ScaleBar(voxels=20.0, text='20 nm')
    """
    if volume.voxel_angstrom is None:
        return None
    size = volume.voxel_angstrom[2]
    wanted = volume.shape[2] * size / 10 / 5
    magnitude = 10.0 ** math.floor(math.log10(wanted))
    length = max(step * magnitude for step in (1, 2, 5) if step * magnitude <= wanted)
    unit, nanometres = next((name, n) for name, n in UNITS if n <= length or n == 1)
    return ScaleBar(length * 10 / size, f"{length / nanometres:g} {unit}")


def _circles(spheres: NDArray[np.float64], radius: float, axis: int, index: int) -> tuple[Circle, ...]:
    squared = radius**2 - (spheres[:, axis] - index) ** 2
    across, down = HORIZONTAL[axis], VERTICAL[axis]
    # the centre of the first voxel is half a voxel from the panel's edge
    return tuple(
        Circle(round(float(place[across]) + 0.5, 2), round(float(place[down]) + 0.5, 2), round(float(one) ** 0.5, 2))
        for place, one in zip(spheres, squared, strict=True)
        if one > 0
    )
