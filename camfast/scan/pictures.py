"""Slices of a volume, and of its map over them, for a page: pixels as data URIs, each with its place in a drawing."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.plot.colors import ABOVE, BELOW, NOT_A_NUMBER
from camfast.plot.image import as_array, stretch_of
from camfast.plot.markers import UNITS
from camfast.plot.planes import HORIZONTAL, plane_of
from camfast.scan.volumes import Volume

LARGEST = 800
"""Pixels along the longest side of a slice; larger ones are averaged by whole blocks of voxels."""
OPACITY = 0.85
_ZERO, _SIDE = 128, 127  # of 256 colours one is for NaN, one for 0, and 127 for each sign
VERTICAL = (1, 0, 1)
"""The axis of the volume that runs down in the panel that looks along z, y and x."""
_QUALITY = 80  # of JPEG: a quarter of the bytes that the noise of a slice takes as PNG

Limits = tuple[float, float]


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


def planes_at(volume: Any, at: Sequence[int]) -> list[NDArray[Any]]:
    """Read the three slices through a voxel: (y, x), (z, x) and (y, z), float32."""
    return [as_array(plane_of(volume, axis, at[axis])) for axis in range(3)]


def limits_of(planes: Sequence[NDArray[Any]]) -> Limits:
    """Ends of the scales below and above 0: the 99.5th percentile of what is on that side.

    The scale below 0 is never the finer one: else the faint values against a class that are everywhere would cover
    what speaks for it.

    Examples
    --------
    >>> limits_of([np.array([-0.1, 2.0])]), limits_of([np.array([-5.0, 2.0])]), limits_of([np.zeros(3)])
    ((-2.0, 2.0), (-5.0, 2.0), (0.0, 1.0))
    """
    values = np.concatenate([plane.ravel() for plane in planes])
    values = values[np.isfinite(values)]
    below, above = (values[side] for side in (values < 0, values > 0))
    low = float(np.percentile(below, 0.5)) if len(below) else 0.0
    high = float(np.percentile(above, 99.5)) if len(above) else 0.0
    return min(low, -high) if low < 0 else low, high if high > 0 or low < 0 else 1.0


def drawing(
    density: Sequence[NDArray[Any]],
    heat: Sequence[NDArray[Any]] | None,
    limits: Limits,
    at: Sequence[int],
    spheres: NDArray[np.float64],
    radius: float,
) -> Drawing:
    """Put three slices, as `planes_at` reads them, into one drawing.

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
    block = max(1, -(-max(height, width, depth) // LARGEST))
    stretch = stretch_of(np.concatenate([plane.ravel() for plane in density]))
    corners = ((0.0, 0.0), (0.0, height + gap), (width + gap, 0.0))
    panels = []
    for axis, (plane, (left, top)) in enumerate(zip(density, corners, strict=True)):
        grey = averaged(plane, block)
        over = "" if heat is None else _heat_uri(averaged(heat[axis], block), limits)
        panels.append(
            Panel(
                left,
                top,
                plane.shape[1],
                plane.shape[0],
                (grey.shape[1] * block, grey.shape[0] * block),
                _grey_uri(grey, stretch),
                over,
                _circles(spheres, radius, axis, at[axis]),
            )
        )
    z, y, x = at
    return Drawing(width + gap + depth, height + gap + depth, tuple(panels), (z, y, x))


def averaged(plane: NDArray[Any], block: int) -> NDArray[Any]:
    """Average squares of so many pixels; those that stand over the far edges are cut there.

    Examples
    --------
    >>> averaged(np.arange(6.0).reshape(2, 3), 2)
    array([[2. , 3.5]])
    """
    if block == 1:
        return plane
    sums = plane.astype(np.float64)
    for axis, length in enumerate(plane.shape):
        starts = np.arange(0, length, block)
        shape = [1, 1]
        shape[axis] = -1
        sums = np.add.reduceat(sums, starts, axis) / np.minimum(block, length - starts).reshape(shape)
    return sums


def ramp(colors: Sequence[str], *, backwards: bool = False) -> str:
    """CSS gradient from clear, which is 0, to the last of some colours, from left to right or backwards."""
    steps = len(colors) - 1
    stops = (f"{color}{round(255 * OPACITY * step / steps):02x}" for step, color in enumerate(colors))
    return f"linear-gradient(to {'left' if backwards else 'right'}, {', '.join(stops)})"


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


def _grey_uri(plane: NDArray[Any], stretch: Limits) -> str:
    low, high = stretch
    scaled = np.nan_to_num((plane - low) / (high - low) * 255)
    return _uri(np.clip(np.rint(scaled), 0, 255).astype(np.uint8), "jpeg", quality=_QUALITY)


def _heat_uri(plane: NDArray[Any], limits: Limits) -> str:
    low, high = limits
    above = np.clip(plane / high, 0, 1) if high > 0 else np.zeros_like(plane)
    below = np.clip(plane / low, 0, 1) if low < 0 else np.zeros_like(plane)
    shades = _ZERO + np.rint(_SIDE * np.nan_to_num(above - below))
    indices = np.where(np.isnan(plane), 0, shades).astype(np.uint8)
    return _uri(indices, "png", palette=True, optimize=True)


def _uri(pixels: NDArray[np.uint8], kind: str, *, palette: bool = False, **options: Any) -> str:
    image = require("PIL.Image", "plot", "drawing the slices of a report").fromarray(pixels)
    if palette:
        colors = _palette()
        image.putpalette(colors[:, :3].tobytes())
        options["transparency"] = colors[:, 3].tobytes()
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _palette() -> NDArray[np.uint8]:
    """Colours (256, 4) with their opacity: magenta for NaN, then from blue over clear to red."""
    found = np.zeros((256, 4))
    found[0] = (*_rgb(NOT_A_NUMBER), 255)
    share = np.arange(_SIDE + 1) / _SIDE
    for colors, step in ((ABOVE, 1), (BELOW, -1)):
        stops = np.linspace(0, 1, len(colors))
        tones = np.array([_rgb(color) for color in colors])
        side = np.stack([np.interp(share, stops, tones[:, tone]) for tone in range(3)], 1)
        found[_ZERO + step * np.arange(_SIDE + 1)] = np.column_stack([side, 255 * OPACITY * share])
    return np.rint(found).astype(np.uint8)


def _rgb(color: str) -> list[int]:
    return list(bytes.fromhex(color[1:]))
