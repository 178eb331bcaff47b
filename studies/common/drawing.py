"""Maps of single pixels, drawn alone: over a photograph they can't be seen."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

CLIPPED = 0.995
"""Part of a map's pixels below the end of its scale: gradients have a few far above all others."""


def panels(rows: Sequence[str], columns: Sequence[str]) -> tuple[Figure, Any]:
    """A figure of labelled panels without ticks."""
    figure = Figure(figsize=(1.1 * len(columns), 1.2 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    for panel, title in zip(axes[0], columns, strict=True):
        panel.set_title(title, fontsize=6)
    for panel, name in zip(axes[:, 0], rows, strict=True):
        panel.set_ylabel(name, fontsize=7)
    return figure, axes


def draw_alone(panel: Any, heat: Tensor) -> None:
    """Draw a map (H, W): what is above 0 dark, or for a signed map red above and blue below."""
    end = float(heat.abs().quantile(CLIPPED)) or 1.0
    if heat.min() < 0:
        panel.imshow(heat, cmap="RdBu_r", vmin=-end, vmax=end)
    else:
        panel.imshow(heat, cmap="gray_r", vmin=0, vmax=end)
