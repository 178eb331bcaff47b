"""The pictures of the pages in docs/methods: each method on the same photograph, for two classes.

SqueezeNet explains the photograph of a tiger cat and a bull mastiff at two depths. Where a method has nothing to say of
that network, ResNet-20 takes its place on the same photograph: `cam`, which wants another head, and `deconvnet`, whose
map is empty. Volumes have the bundled network and the MeshNet. `python -m studies.method_pictures gradcam` draws one
picture, without a name all of them.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import camfast
from camfast import plot, simulate
from camfast.models import Loaded, load
from camfast.plot.colors import short
from studies.common import brain
from studies.common.method_panels import Panel, draw
from studies.common.paths import ROOT, data
from studies.common.pictures import Pictures, first, photographs
from studies.common.report import lighten

FOLDER = ROOT / "docs" / "pictures" / "methods"
CLASSES = {282: "tiger cat", 243: "bull mastiff"}
DEEP, SHALLOW = "fire9", "fire5"
SMALL = {3: "cat", 5: "dog"}
SIDE = 96
"""Pixels of the photograph for ResNet-20, three times what it was trained on: the animals are as large as there."""
VIEWS = 8
"""Of each photograph, for the effective receptive field that `extended` needs."""
UNITS = 2
SNR = 0.5


def squeezenet() -> tuple[Pictures, list[str]]:
    """The photograph with its network, and a label for each class."""
    found = first(photographs(), 1)
    with torch.no_grad():
        chances = found.network(found.inputs)[0].softmax(0)
    return found, [f"{name}\np = {chances[index]:.2f}" for index, name in CLASSES.items()]


def resnet20() -> tuple[Loaded, NDArray[np.uint8], Tensor, list[str]]:
    """ResNet-20 with the same photograph, small, and a label for each class."""
    loaded = load("resnet20", data("cifar10", "resnet20.safetensors"))
    assert loaded.preprocess is not None
    with Image.open(data("imagenet", "both.png")) as picture:
        shown = np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    mean, std = (torch.tensor(values)[:, None, None] for values in (loaded.preprocess.mean, loaded.preprocess.std))
    inputs = ((torch.from_numpy(shown.copy()).permute(2, 0, 1) / 255 - mean) / std)[None]
    with torch.no_grad():
        scores = loaded.module(inputs)[0]
    return loaded, shown, inputs, [f"{name}\nscore {short(float(scores[index]))}" for index, name in SMALL.items()]


def of_layers(method: str) -> Any:
    """A method at two depths of SqueezeNet, as the method does by default."""
    found, labels = squeezenet()
    options: dict[str, Any] = {}
    if method == "extended":
        options = {"sigma": "auto", "calibration": photographs(VIEWS).inputs}
    rows: list[tuple[str, list[Panel]]] = [(label, []) for label in labels]
    columns = []
    for layer, alone in ((DEEP, True), (SHALLOW, False)):
        if method == "extended":
            options["centres"] = camfast.receptive_field_centres(found.network, layer, found.inputs)
        result = camfast.Explainer(found.network, layer, method, **options)(found.inputs, list(CLASSES))
        cells = " × ".join(str(extent) for extent in result.grid.shape[2:])
        columns += [f"{layer}: the map, {cells}"] * alone + [f"{layer}, {cells}:\nover the photograph"]
        for (_, panels), grid, heat in zip(rows, result.grid[0], result.maps[0], strict=True):
            panels.extend([Panel(grid)] * alone + [Panel(heat, over=True)])
    return draw(found.displayed[0], rows, columns)


def closed_form() -> Any:
    """`cam` on ResNet-20, whose linear layer stands behind a global average pooling."""
    loaded, shown, inputs, labels = resnet20()
    result = camfast.Explainer(loaded.module, "layer3", "cam")(inputs, list(SMALL))
    cells = " × ".join(str(extent) for extent in result.grid.shape[2:])
    rows = [
        (label, [Panel(grid), Panel(heat, over=True)])
        for label, grid, heat in zip(labels, result.grid[0], result.maps[0], strict=True)
    ]
    return draw(shown, rows, [f"layer3: the map, {cells}", "over the photograph"])


def of_pixels(make: Callable[..., Tensor], *arguments: Any) -> Any:
    """A map in input space: signed, and its magnitude."""
    found, labels = squeezenet()
    maps = make(found.network, found.inputs, *arguments, list(CLASSES))[0]
    return draw(found.displayed[0], _pixel_rows(labels, maps), _PIXEL_COLUMNS)


def deconvolved() -> Any:
    """`deconvnet` on ResNet-20: that of SqueezeNet is empty."""
    loaded, shown, inputs, labels = resnet20()
    maps = camfast.deconvnet(loaded.module, inputs, list(SMALL))[0]
    return draw(shown, _pixel_rows(labels, maps), _PIXEL_COLUMNS)


_PIXEL_COLUMNS = ("sum over colours, signed", "largest magnitude\nof the colours")


def _pixel_rows(labels: list[str], maps: Tensor) -> list[tuple[str, list[Panel]]]:
    return [
        (label, [Panel(heat.sum(0), clipped=True), Panel(heat.abs().amax(0), clipped=True)])
        for label, heat in zip(labels, maps, strict=True)
    ]


def attentive() -> Any:
    """The attentive response of two layers, and the strongest units of each apart."""
    found, _ = squeezenet()
    rows = []
    for layer in (DEEP, SHALLOW):
        response = camfast.attentive_response(found.network, found.inputs, layer, per_unit=True)
        assert response.maps is not None
        heats = [response.values[0], *response.maps[0, :UNITS]]
        rows.append((layer, [Panel(heat, clipped=True) for heat in heats]))
    columns = ["25 units together", "the strongest unit", "the second strongest"]
    return draw(found.displayed[0], rows, columns)


def perturbed() -> Any:
    """Occlusion and RISE."""
    found, labels = squeezenet()
    classes = list(CLASSES)
    hidden = camfast.occlusion(found.network, found.inputs, classes, window=48, stride=16, baseline="zero")[0]
    masked = camfast.rise(found.network, found.inputs, classes, masks=1000)[0]
    centred = masked - masked.flatten(1).mean(1)[:, None, None]
    rows = [
        (label, [Panel(heat, over=True) for heat in heats])
        for label, *heats in zip(labels, hidden, masked, centred, strict=True)
    ]
    columns = ("occlusion", "rise", "rise less its mean")
    return draw(found.displayed[0], rows, columns)


def volume() -> Any:
    """`respond` and `gradcam` of a simulated subtomogram, for the right class and for another.

    It is the first one that the network takes for what it is.
    """
    loaded = load("subtomogram_demo")
    assert loaded.labels is not None
    right, other = (loaded.labels.index(label) for label in ("barrel", "ring"))
    for seed in range(100):
        made = simulate.subtomogram("barrel", seed=seed, size=int(loaded.metadata["window"][0]), snr=SNR)
        inputs = torch.from_numpy(made.data)[None, None]
        with torch.no_grad():
            scores = loaded.module(inputs)[0]
        if int(scores.argmax()) == right:
            break
    methods = ("respond", "gradcam")
    maps = [camfast.cam(loaded.module, inputs, "maxpool2", [right, other], method=method)[0] for method in methods]
    columns = [f"{loaded.labels[index]}\nscore {short(float(scores[index]))}" for index in (right, other)]
    figure = plot.grid(made.data, [list(one) for one in maps], rows=methods, columns=columns)
    figure.set_size_inches(0.9 * figure.get_size_inches())
    return figure


def segmentation() -> Any:
    """Two regions of a brain's white matter, by Seg-Grad-CAM and Seg-HiRes-Grad-CAM, a slice."""
    network, inputs = brain.network(), brain.head(brain.MAPPED)
    with torch.no_grad():
        found = network(inputs)[0].argmax(0) == brain.WHITE
    middle = brain.MAPPED // 2
    places = found[middle].nonzero()
    y, x = places[(places - middle).abs().sum(1).argmin()].tolist()
    regions = {"predicted": "predicted", "a point": (middle, y, x)}
    methods = ("gradcam", "hirescam")
    maps = [
        [
            camfast.cam(network, inputs, "activation8", camfast.Region(brain.WHITE, where), method=method)[0, middle]
            for method in methods
        ]
        for where in regions.values()
    ]
    columns = [
        f"{method}: {name}" for method, name in zip(methods, ("Seg-Grad-CAM", "Seg-HiRes-Grad-CAM"), strict=True)
    ]
    figure = plot.grid(inputs[0, 0, middle], maps, rows=list(regions), columns=columns)
    figure.axes[3].plot(x, y, "+", color="#00d0ff", markersize=9)
    return figure


PICTURES: dict[str, Callable[[], Any]] = {
    "cam": closed_form,
    **{
        method.replace("+", "p"): lambda method=method: of_layers(method)  # type: ignore[misc]
        for method in camfast.methods()
        if method != "cam"
    },
    "respond_volume": volume,
    "seg-hires-gradcam": segmentation,
    "saliency": lambda: of_pixels(camfast.saliency),
    "guided_backprop": lambda: of_pixels(camfast.guided_backprop),
    "deconvnet": deconvolved,
    "guided_gradcam": lambda: of_pixels(camfast.guided_gradcam, DEEP),
    "attentive_response": attentive,
    "perturbation": perturbed,
}
"""By the name of the file, what draws it."""

LARGE = 250_000
"""Bytes above which a picture is stored in fewer colours."""


def main() -> None:
    """Draw the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(PICTURES)}; all where none is given")
    asked = parser.parse_args().names or list(PICTURES)
    if unknown := [name for name in asked if name not in PICTURES]:
        parser.error(f"there is no picture {', '.join(unknown)}; there are {', '.join(PICTURES)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in asked:
        path = FOLDER / f"{name}.png"
        plot.save(PICTURES[name](), path, command=f"python -m studies.method_pictures {name}")
        lighten(path, LARGE)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} kB", flush=True)


if __name__ == "__main__":
    main()
