"""Pictures of planted artefacts: one volume with all its maps, and how much of each map lies in the artefact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from camfast import plot
from camfast.metrics import Interval

Key = tuple[str, str]
COLOURS = {"planted": "#d4001c", "control": "#2f86ff"}


@dataclass(frozen=True)
class Example:
    """A volume with an artefact, where that is, its class and what it is taken for, and its maps by role and key."""

    volume: Tensor
    mask: Tensor
    true: str
    favoured: str
    maps: dict[str, dict[Key, Tensor]]

    def plane(self) -> int:
        """The slice along z that shows most of the artefact."""
        return int(self.mask.flatten(1).sum(1).argmax())


def draw_example(found: Example, layers: Sequence[str]) -> Any:
    """The slice through the outlined artefact: planted network and control of each layer, maps in columns."""
    plane = found.plane()
    names = {layer: [name for name, where in found.maps["planted"] if where == layer] for layer in layers}
    columns = max(names.values(), key=len)
    if any(set(found_) != set(columns) for found_ in names.values()):
        raise ValueError(f"layers must have the same maps to stand below each other, found {names}")
    rows = [(layer, role) for layer in layers for role in found.maps]
    figure = plot.grid(
        found.volume[plane],
        [[found.maps[role][name, layer][plane] for name in columns] for layer, role in rows],
        rows=[f"{role}, {layer}" for layer, role in rows],
        columns=columns,
    )
    panels = figure.axes[: len(rows) * (len(columns) + 1)]
    for axes in panels:
        axes.contour(found.mask[plane].numpy(), [0.5], colors="#00b050", linewidths=0.9)
    return figure


def draw_shares(
    shares: Mapping[str, Mapping[Key, Mapping[str, Interval]]],
    chance: Mapping[str, float],
    best: Mapping[str, Mapping[Key, float]],
) -> Any:
    """A panel a kind of artefact, a line a map: shares of both networks, chance, and what a grid allows."""
    first = next(iter(shares.values()))
    height = 0.9 + 0.2 * len(first)
    figure = Figure(figsize=(2.4 + 3.0 * len(shares), height), layout="constrained")
    panels = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
    for axes, (kind, found) in zip(panels, shares.items(), strict=True):
        for row, (key, by_role) in enumerate(found.items()):
            if key in best[kind]:
                axes.plot(100 * best[kind][key], row, marker="|", color="0.5", markersize=9)
            for offset, (role, one) in zip((-0.14, 0.14), by_role.items(), strict=True):
                ends = 100 * np.array([[one.estimate - one.low], [one.high - one.estimate]])
                axes.errorbar(
                    100 * one.estimate, row + offset, xerr=ends, fmt="o", markersize=3, lw=1, color=COLOURS[role],
                    label=role if row == 0 else None,
                )  # fmt: skip
        axes.axvline(100 * chance[kind], color="0.3", lw=0.8, ls=":", label="even map")
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set(title=kind, xlim=(0, 100), xlabel="share of |map| in the artefact, %")
        axes.grid(axis="x", color="0.9", lw=0.5)
        axes.set_axisbelow(True)
    panels[0].set_yticks(range(len(first)), [f"{name}, {layer}" for name, layer in first], fontsize=8)
    panels[0].invert_yaxis()
    panels[0].plot([], [], marker="|", color="0.5", ls="", label="largest on this grid")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return figure
