"""Pictures of the study ``sum_to_score``: sums against scores, and Fig. 2 to 4 of Respond-CAM on other particles."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import camfast
from camfast import plot
from studies.common.report import Study
from studies.common.subtomograms import Pool

LAYERS = ("relu2", "maxpool1", "relu4", "maxpool2")
DEPTH = "maxpool2"
POINTS = 100
"""Subtomograms that are drawn, each with all its classes."""


def sums_against_scores(networks: Sequence[tuple[str, str, float, Any]]) -> Figure:
    """One row a network: ΣL of Grad-CAM and of Respond-CAM against the score, on the diagonal where they agree."""
    figure = Figure(figsize=(8.6, 4.0 * len(networks)), layout="constrained")
    panels = figure.subplots(len(networks), 2, squeeze=False)
    for row, (name, _, _, outcome) in zip(panels, networks, strict=True):
        scores = torch.cat(outcome.scores)[:POINTS]
        for axes, method in zip(row, ("gradcam", "respond"), strict=True):
            sums = outcome.all("sums", method)[:POINTS]
            axes.plot(scores.flatten(), sums.flatten(), ".", ms=2, color="#2f6fd0")
            ends = [float(scores.min()), float(scores.max())]
            axes.plot(ends, ends, color="#888888", lw=0.8)
            axes.set_xlabel("score y")
            axes.set_ylabel("sum of the map, ΣL")
            axes.set_title(f"{name}, {method}", fontsize=10)
    return figure


def draw(study: Study, network: nn.Module, found: Pool) -> None:
    """Fig. 2 to 4 for the first test subtomograms of some classes."""
    indices = found.indices("test")
    chosen = indices[[list(indices % len(found.labels)).index(found.labels.index(name)) for name in examples(found)]]
    images = found.images(chosen, float("inf"))
    classes = found.classes(chosen)
    names = [found.labels[index] for index in classes]
    explainer = camfast.Explainer(network, LAYERS, "respond")
    result = explainer(images, classes)
    study.picture(
        plot.grid(
            list(images[:, 0]),
            [[result.maps[layer][row] for layer in LAYERS] for row in range(len(names))],
            rows=names,
            columns=[f"{layer}, {' × '.join(map(str, result.grid[layer].shape[1:]))}" for layer in LAYERS],
        ),
        "layers",
        "Respond-CAM of the right class at four depths of CNN-2, middle slices (Fig. 4 of the paper).",
        method="respond",
    )
    densities = torch.from_numpy(found.densities[chosen].astype("float32"))
    surfaces(study, densities, result.maps[DEPTH], names)
    strongest(study, network, images[:1], classes[:1], names[0])


def examples(found: Pool) -> tuple[str, ...]:
    """Four particles of different size and form."""
    return tuple(name for name in ("1bxn", "3d2f", "4cr2", "4v4r") if name in found.labels)


def surfaces(study: Study, densities: Tensor, maps: Tensor, names: Sequence[str]) -> None:
    """Each particle's surface with the map's contours (Fig. 3)."""
    for name, density, heat in zip(names, densities, maps, strict=True):
        caption = f"{name}: the true density with contours of Respond-CAM for its class (Fig. 3 of the paper)."
        study.picture(plot.isosurface(density, heat, title=name), f"surface_{name}", caption, method="respond")


def strongest(study: Study, network: nn.Module, image: Tensor, target: Tensor, name: str) -> None:
    """The feature maps with the largest weights (Fig. 2)."""
    with torch.no_grad(), camfast.capture(network, DEPTH) as captured:
        network(image)
    result = camfast.Explainer(network, DEPTH, "respond")(image, target)
    figure = plot.feature_maps(image[0, 0], captured.activations[0], result.weights[0], title=name)
    study.picture(figure, "features", f"{name}: the feature maps with the largest weights (Fig. 2 of the paper).")
