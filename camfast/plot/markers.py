"""Spheres in a volume and the bar that says how large it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camfast._extras import require
from camfast.plot.style import PURPOSE

UNITS = (("mm", 1e6), ("µm", 1e3), ("nm", 1))


@dataclass(frozen=True, slots=True)
class Markers:
    """Spheres to draw as circles where a slice cuts them.

    Parameters
    ----------
    label
        Their name in the legend.
    centres
        Positions (z, y, x) in voxels.
    radius
        Of the spheres, in voxels.
    color
        Any colour of matplotlib.
    style
        Line style of matplotlib: ``"-"``, ``":"``, …
    """

    label: str
    centres: Sequence[Sequence[float]]
    radius: float
    color: str = "#00d0ff"
    style: str = "-"


def draw_circles(axes: Any, markers: Sequence[Markers], axis: int, index: int) -> None:
    """Draw where the slice at an index of an axis cuts the spheres."""
    patches = require("matplotlib.patches", "plot", PURPOSE)
    horizontal, vertical = ((2, 1), (2, 0), (0, 1))[axis]
    for group in markers:
        for centre in group.centres:
            squared = group.radius**2 - (centre[axis] - index) ** 2
            if squared > 0:
                place = (centre[horizontal], centre[vertical])
                axes.add_patch(
                    patches.Circle(place, squared**0.5, fill=False, color=group.color, ls=group.style, lw=1.2)
                )


def legend_of(markers: Sequence[Markers]) -> list[Any]:
    """One line a group of spheres, for a legend."""
    lines = require("matplotlib.lines", "plot", PURPOSE)
    return [lines.Line2D([], [], color=group.color, ls=group.style, label=group.label) for group in markers]


def draw_scale_bar(axes: Any, width: int, voxel_angstrom: float) -> None:
    """Draw a bar of a round length, about a fifth of the panel."""
    wanted = width * voxel_angstrom / 10 / 5
    magnitude = 10.0 ** np.floor(np.log10(wanted))
    length = max(step * magnitude for step in (1, 2, 5) if step * magnitude <= wanted)
    unit, nanometres = next((name, n) for name, n in UNITS if n <= length or n == 1)
    left, right = 0.04 * width, 0.04 * width + length * 10 / voxel_angstrom
    bottom, top = axes.get_ylim()
    effects = require("matplotlib.patheffects", "plot", PURPOSE)
    wide, narrow = ([effects.withStroke(linewidth=stroke, foreground="black")] for stroke in (4, 2))
    axes.plot([left, right], [0.95 * bottom + 0.05 * top] * 2, color="white", lw=2.5, path_effects=wide)
    axes.annotate(f"{length / nanometres:g} {unit}", ((left + right) / 2, 0.935 * bottom + 0.065 * top),
                  color="white", ha="center", va="bottom", fontsize=9, path_effects=narrow)  # fmt: skip
