"""One picture a method: what was looked at, and beside it a row of panels for each thing that was asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from camfast.plot.colors import colors_of, short
from camfast.plot.image import desaturated

PANEL = 1.75
"""Side of a panel, in inches."""
GREY = 0.75
"""How far the photograph below a map loses its colours, which could be taken for the map's."""
OPAQUE = 0.8
"""Opacity of a map over the photograph, at the end of its scale."""
CLIPPED = 0.995
"""Part of a map of single pixels that lies within its scale: gradients have a few values far above all others."""


@dataclass(frozen=True)
class Panel:
    """A map, alone on white or over the picture.

    Attributes
    ----------
    heat : Tensor
        (H, W), on any grid.
    over : bool
        Over the picture, whose area it then fills.
    clipped : bool
        Values beyond the 99.5th percentile of the magnitude are drawn as that.
    """

    heat: Tensor
    over: bool = False
    clipped: bool = False


def draw(
    picture: NDArray[np.uint8],
    rows: Sequence[tuple[str, Sequence[Panel]]],
    columns: Sequence[str],
    heading: str = "input",
    note: str = "each map on a scale of its own: red above 0, blue below",
) -> Figure:
    """Draw the picture, and beside it a labelled row of panels for each question; below each map stands its range."""
    across, down = len(columns), len(rows)
    side = PANEL * 1.25
    figure = Figure(figsize=(side + across * PANEL + 0.5, down * (PANEL + 0.08) + 0.6), layout="constrained")
    figure.set_facecolor("white")
    parts: Any = figure.subfigures(1, 2, width_ratios=[side, across * PANEL + 0.5])
    left, right = parts
    first = left.subplots()
    first.imshow(picture)
    first.set_title(heading, fontsize=9)
    axes = right.subplots(down, across, squeeze=False)
    for (label, panels), line in zip(rows, axes, strict=True):
        line[0].set_ylabel(label, fontsize=8)
        for panel, one in zip(panels, line, strict=True):
            _draw(one, panel, picture)
    for one, title in zip(axes[0], columns, strict=True):
        one.set_title(title, fontsize=8)
    for one in (first, *axes.flat):
        one.set(xticks=[], yticks=[])
    first.spines[:].set_visible(False)
    for one in axes.flat:
        one.spines[:].set(color="#b0b0b0", linewidth=0.5)
    right.supxlabel(note, fontsize=7)
    return figure


def _draw(axes: Any, panel: Panel, picture: NDArray[np.uint8]) -> None:
    heat = panel.heat.detach().numpy()
    end = float(panel.heat.abs().flatten().quantile(CLIPPED)) if panel.clipped else None
    norm, colours = colors_of(heat, end or None, OPAQUE if panel.over else 1.0)
    height, width = picture.shape[:2]
    area = (-0.5, width - 0.5, height - 0.5, -0.5)
    if panel.over:
        axes.imshow(desaturated(picture, GREY))
    axes.imshow(heat, cmap=colours, norm=norm, interpolation="nearest", extent=area)
    ends = f"{short(float(heat.min()))} to {short(float(heat.max()))}" if heat.any() else "0 everywhere"
    axes.set_xlabel(ends, fontsize=6, labelpad=1)
