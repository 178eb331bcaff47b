"""What gradients alone show: saliency, deconvnet, guided backprop, and their combinations with coarse maps.

The same maps for photographs that SqueezeNet knows and for two chest radiographs that it doesn't: no classifier of
radiographs is to be had here, so what they show is how much of a map is the image's own edges, whatever the network
has learnt. Two figures go with each map: the rank correlation of its magnitude with the strength of the image's edges,
and with the map of another class. A deconvnet map can be 0 everywhere: the rule asks for no activation, so that one
layer at which no gradient above 0 arrives ends it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr
from skimage.filters import sobel
from torch import Tensor, nn

import camfast
from studies.common.drawing import draw_alone, panels
from studies.common.paths import data
from studies.common.pictures import Pictures, photographs
from studies.common.report import Study, Table, arguments

LAYER = "fire9"
# the most probable classes of each photograph; what another class is compared with is the second
CLASSES = {"both": (292, 243), "chelsea": (285, 281), "coffee": (967, 504), "parrot": (88, 90)}

Method = Callable[[nn.Module, Tensor, int], Tensor]


def magnitude(gradients: Tensor) -> Tensor:
    """The largest magnitude over the input's channels, (N, H, W)."""
    return gradients.abs().amax(1)


def coarse(method: str) -> Method:
    """A map of activations and gradients, with its ReLU."""

    def explain(network: nn.Module, inputs: Tensor, target: int) -> Tensor:
        return camfast.cam(network, inputs, LAYER, target, method=method, relu=True)

    return explain


def guided(method: str) -> Method:
    """Guided backprop where a coarse map is positive."""

    def explain(network: nn.Module, inputs: Tensor, target: int) -> Tensor:
        return magnitude(camfast.guided_gradcam(network, inputs, LAYER, target, method=method))

    return explain


METHODS: dict[str, Method] = {
    "saliency": lambda network, inputs, target: magnitude(camfast.saliency(network, inputs, target)),
    "deconvnet": lambda network, inputs, target: magnitude(camfast.deconvnet(network, inputs, target)),
    "guided backprop": lambda network, inputs, target: magnitude(camfast.guided_backprop(network, inputs, target)),
    "Grad-CAM": coarse("gradcam"),
    "LayerCAM (pixel-wise)": coarse("layercam"),
    "HiResCAM": coarse("hirescam"),
    "guided Grad-CAM": guided("gradcam"),
    "guided LayerCAM": guided("layercam"),
    "guided HiResCAM": guided("hirescam"),
}


COARSE = ("Grad-CAM", "LayerCAM (pixel-wise)", "HiResCAM")


@dataclass(frozen=True)
class Shown:
    """An image, and its maps by method for the class of interest and for another one."""

    name: str
    displayed: NDArray[np.uint8]
    maps: dict[str, Tensor]
    others: dict[str, Tensor]

    def edges(self, method: str) -> float:
        """Rank correlation of a map's magnitude with the strength of the image's edges; NaN where it is empty."""
        if self.maps[method].std() == 0:
            return float("nan")
        strength = sobel(self.displayed.mean(-1))
        return float(spearmanr(self.maps[method].flatten(), strength.ravel()).statistic)

    def between_classes(self, method: str) -> float:
        """Rank correlation of the maps of two classes; NaN where one is empty."""
        own, other = self.maps[method], self.others[method]
        if own.std() == 0 or other.std() == 0:
            return float("nan")
        return float(spearmanr(own.flatten(), other.flatten()).statistic)


def explain(found: Pictures, index: int, classes: tuple[int, int]) -> Shown:
    """All maps of one image."""
    inputs = found.inputs[index : index + 1]
    own, other = ({name: make(found.network, inputs, c)[0] for name, make in METHODS.items()} for c in classes)
    return Shown(found.names[index], found.displayed[index], own, other)


def radiographs(like: Pictures) -> Pictures:
    """Two chest radiographs at the size of the network's input, grey repeated in each channel."""
    size = like.displayed.shape[1:3]
    paths = sorted(data("xray").glob("*.png"))
    shown = []
    for path in paths:
        with Image.open(path) as picture:
            shown.append(np.asarray(picture.convert("L").convert("RGB").resize(size[::-1], Image.Resampling.BICUBIC)))
    names = [f"radiograph {number + 1}" for number in range(len(paths))]
    return Pictures(like.network, like.preprocess, np.stack(shown), like.labels, names)


def top_two(found: Pictures, index: int) -> tuple[int, int]:
    """The two most probable classes of an image."""
    with torch.no_grad():
        first, second = found.network(found.inputs[index : index + 1])[0].topk(2).indices.tolist()
    return first, second


def measure(shown: Sequence[Shown]) -> dict[str, dict[str, list[float]]]:
    """Both correlations of each method, image by image."""
    return {
        method: {
            "edges": [one.edges(method) for one in shown],
            "between_classes": [one.between_classes(method) for one in shown],
        }
        for method in METHODS
    }


def table(title: str, measured: dict[str, dict[str, list[float]]], names: Sequence[str]) -> Table:
    """Each image's own figures: they are too few for an interval."""
    columns = ("method", *(f"{name}: edges" for name in names), *(f"{name}: other class" for name in names))
    rows = [
        (method, *(_cell(value) for kind in ("edges", "between_classes") for value in found[kind]))
        for method, found in measured.items()
    ]
    return Table(title, columns, rows)


def _cell(value: float) -> str:
    return "empty" if np.isnan(value) else f"{value:.2f}"


def draw(study: Study, shown: Sequence[Shown], name: str, caption: str) -> None:
    """One row an image, one column a method: coarse maps over the image, gradients alone, dark up to their 99.5 %."""
    titles = [method.replace(" ", "\n") for method in METHODS]
    figure, axes = panels([one.name for one in shown], ["image", *titles])
    for row, one in zip(axes, shown, strict=True):
        row[0].imshow(one.displayed)
        for panel, (method, heat) in zip(row[1:], one.maps.items(), strict=True):
            if method in COARSE:
                panel.imshow(one.displayed.mean(-1), cmap="gray")
                panel.imshow(heat, cmap="inferno", alpha=0.65)
            else:
                draw_alone(panel, heat)
    study.picture(figure, name, caption, layer=LAYER)


def main() -> None:
    """Explain photographs and radiographs."""
    quick = arguments(__doc__).parse_args().quick
    study = Study("gradient_methods", quick)
    found = photographs()
    count = 1 if quick else len(found.names)
    known = [explain(found, index, CLASSES[found.names[index]]) for index in range(count)]
    unknown = radiographs(found)
    chests = [explain(unknown, index, top_two(unknown, index)) for index in range(1 if quick else len(unknown.names))]
    for shown, title, name in (
        (known, "Photographs: Spearman's ρ with the image's edges, and with the map of another class", "photographs"),
        (chests, "Radiographs, of which the network knows nothing: the same", "radiographs"),
    ):
        measured = measure(shown)
        study.measurements[name] = {"images": [one.name for one in shown], "methods": measured}
        study.tables.append(table(title, measured, [one.name for one in shown]))
    draw(study, known, "photographs", "SqueezeNet, fire9: each map for the class of interest, on a scale of its own.")
    draw(study, chests, "radiographs", "The same maps for radiographs, explained for the class with the largest score.")
    study.write()


if __name__ == "__main__":
    main()
