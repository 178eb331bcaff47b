"""Pixels of a page's pictures: averaged, coloured, and packed into data URIs."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.plot.colors import ABOVE, BELOW, NOT_A_NUMBER

OPACITY = 0.85
_ZERO, _SIDE = 128, 127  # of 256 colours one is for NaN, one for 0, and 127 for each sign
_QUALITY = 80  # of JPEG: a quarter of the bytes that the noise of a slice takes as PNG

Limits = tuple[float, float]


def averaged(plane: NDArray[Any], block: int) -> NDArray[Any]:
    """Average squares of so many pixels; those that stand over the far edges are cut there.

    Examples
    --------
    >>> averaged(np.arange(6.0).reshape(2, 3), 2)
    array([[2. , 3.5]])
    """
    if block == 1:
        return plane
    means = plane
    for axis, length in enumerate(plane.shape):
        starts = np.arange(0, length, block)
        shape = [1, 1]
        shape[axis] = -1
        sums = np.add.reduceat(means, starts, axis, dtype=np.float64)
        means = sums / np.minimum(block, length - starts).reshape(shape)
    return means


def ramp(colors: Sequence[str], *, backwards: bool = False) -> str:
    """CSS gradient from clear, which is 0, to the last of some colours, from left to right or backwards."""
    steps = len(colors) - 1
    stops = (f"{color}{round(255 * OPACITY * step / steps):02x}" for step, color in enumerate(colors))
    return f"linear-gradient(to {'left' if backwards else 'right'}, {', '.join(stops)})"


def grey_uri(plane: NDArray[Any], stretch: Limits) -> str:
    """Draw values in grey, black and white at the ends of the stretch."""
    low, high = stretch
    scaled = np.nan_to_num((plane - low) / (high - low) * 255)
    return _uri(np.clip(np.rint(scaled), 0, 255).astype(np.uint8), "jpeg", quality=_QUALITY)


def heat_uri(plane: NDArray[Any], limits: Limits) -> str:
    """Draw a map: clear at 0, red and blue at the ends above and below it, magenta where it is NaN."""
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
