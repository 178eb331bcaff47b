"""Curves of how alike maps stay while a network is randomised."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure

from camfast.metrics import Similarity

MEASURES = {"spearman": "Spearman of the values", "spearman_absolute": "Spearman of the magnitudes"}
STYLES = ("-", "--", ":", "-.")


def draw_curves(networks: Sequence[tuple[str, Sequence[str], Mapping[str, Similarity]]]) -> Any:
    """A column a network, a row a measure, a line a method: mean over seeds and images, layers from the top down."""
    figure = Figure(figsize=(3.9 * len(networks) + 1.8, 6.2), layout="constrained")
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
            axes.set_ylim(-0.6, 1.05)
            if row == 0:
                axes.set_title(network)
            if column == 0:
                axes.set_ylabel(label)
    lines = {line.get_label(): line for axes in panels.flat for line in axes.get_lines() if line.get_label()[0] != "_"}
    figure.legend(lines.values(), lines.keys(), loc="outside right center", fontsize=8)
    return figure
