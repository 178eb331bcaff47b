"""Pictures of maps while a network is randomised, and curves of how alike they stay."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from camfast.metrics import Similarity

MEASURES = {"spearman": "Spearman of the values", "spearman_absolute": "Spearman of the magnitudes"}
STYLES = ("-", "--", ":", "-.")


def draw_curves(networks: Sequence[tuple[str, Sequence[str], Mapping[str, Similarity]]]) -> Any:
    """A column a network, a row a measure, a line a method: mean over seeds and images, layers from the top down."""
    figure = Figure(figsize=(2.9 * len(networks) + 1.6, 5.2), layout="constrained")
    panels = figure.subplots(len(MEASURES), len(networks), sharey=True, squeeze=False)
    names = list(dict.fromkeys(name for _, _, found in networks for name in found))
    colours = colormaps["tab10"].colors
    for column, (network, layers, found) in enumerate(networks):
        for row, (measure, label) in enumerate(MEASURES.items()):
            axes = panels[row, column]
            for name, similarity in found.items():
                values = [1.0, *getattr(similarity.mean(), measure).tolist()]
                number = names.index(name)
                axes.plot(
                    range(len(values)), values, STYLES[number // 10], color=colours[number % 10], lw=1.4, marker=".",
                    label=name,
                )  # fmt: skip
            axes.axhline(0, color="0.6", lw=0.6)
            axes.set_xticks(range(len(layers) + 1), ["trained", *layers], rotation=60, fontsize=8)
            axes.grid(color="0.92", lw=0.5)
            axes.set_ylim(-0.3, 1.05)
            if row == 0:
                axes.set_title(network)
            if column == 0:
                axes.set_ylabel(label)
    lines = {line.get_label(): line for axes in panels.flat for line in axes.get_lines() if line.get_label()[0] != "_"}
    figure.legend(lines.values(), lines.keys(), loc="outside right center", fontsize=8)
    return figure


def draw_cascade(
    picture: NDArray[np.uint8], maps: Sequence[Sequence[Tensor]], rows: Sequence[str], columns: Sequence[str]
) -> Any:
    """The picture, then a row a method and a column a state of the network: red above 0, blue below.

    Each map reaches its full colours at 99.5 % of its magnitudes, and is averaged to 57 pixels along an edge.
    """
    figure = Figure(figsize=(0.82 * (1 + len(columns)), 0.86 * len(rows) + 0.3), layout="constrained")
    panels = figure.subplots(len(rows), 1 + len(columns), squeeze=False)
    panels[0, 0].imshow(picture)
    for line, by_state, name in zip(panels, maps, rows, strict=True):
        for axes, heat in zip(line[1:], by_state, strict=True):
            small = adaptive_avg_pool2d(heat[None].float(), 57)[0].numpy()
            limit = float(np.quantile(np.abs(small), 0.995)) or 1.0
            axes.imshow(small, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        line[1].set_ylabel(name.replace("_", "\n"), fontsize=6)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, title in zip(panels[0], ["image", *columns], strict=True):
        axes.set_title(title, fontsize=7)
    return figure
