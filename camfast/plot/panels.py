"""What figures of several maps share: the size of a panel, its labels, and a map in it."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast.plot.colors import color_bar, short
from camfast.plot.image import desaturated, draw_image

WIDTH, LARGEST, SMALLEST = 14.0, 2.4, 1.2
"""In inches: of all panels, and of one panel's longer side."""


def panel_inches(pictures: Sequence[NDArray[Any]], across: int) -> tuple[float, float]:
    """Height and width of a panel: as many as there are side by side fit a page."""
    height, width = (max(picture.shape[side] for picture in pictures) for side in (0, 1))
    inches = min(LARGEST, max(SMALLEST, WIDTH / across)) / max(height, width)
    return height * inches, width * inches


def wrapped(label: str, inches: float) -> str:
    """A label broken into lines that fit beside a panel; breaks of its own stay."""
    letters = max(8, int(inches * 13))  # 9 points: about 14 letters an inch
    return "\n".join("\n".join(textwrap.wrap(line, letters)) for line in label.splitlines())


def draw_map(
    panel: Any,
    picture: NDArray[Any],
    heat: NDArray[Any],
    colors: tuple[Any, Any],
    *,
    stretch: tuple[float, float],
    desaturate: float,
) -> Any:
    """Draw a map over its picture, whose area it fills, every value as a rectangle; colours are norm and colormap."""
    draw_image(panel, desaturated(picture, desaturate), stretch)
    height, width = picture.shape[:2]
    norm, colormap = colors
    area = (-0.5, width - 0.5, height - 0.5, -0.5)
    return panel.imshow(heat, cmap=colormap, norm=norm, interpolation="nearest", extent=area)


def ends_of(drawn: Any) -> str:
    """The values at the ends of a drawn map's scale."""
    return f"{short(drawn.norm.vmin)} to {short(drawn.norm.vmax)}" if np.any(drawn.get_array()) else "0 everywhere"


def bar_of_all(figure: Any, drawn: Sequence[Any], axes: Any, *, numbers: bool) -> None:
    """One bar for maps whose colours have a common meaning, with numbers where those are common, too."""
    widest = min(drawn, key=lambda one: one.norm.vmin)
    color_bar(figure, widest, axes, label="", numbers=numbers, aspect=35)
