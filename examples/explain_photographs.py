"""Show which places of a photograph make SqueezeNet see a tiger cat, and which a bull mastiff.

Draws the maps of three methods for two classes of one photograph, and marks each map's peak. Needs the extra ``plot``
and the trained weights, a file with keys as in Caffe's SqueezeNet v1.0::

    python examples/explain_photographs.py --weights squeezenet1_0.safetensors --image both.png --out cat_and_dog.png
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

import camfast

CLASSES = {282: "tiger cat", 243: "bull mastiff"}
LAYER = "fire9"
# as wide as the cells of fire9's 13 × 13 grid are apart on 227 pixels: narrow enough to point, too wide to show cells
SIGMA = 227 / 13
METHODS: dict[str, dict[str, float]] = {"gradcam": {}, "respond": {}, "extended": {"sigma": SIGMA}}


def peak(heat: torch.Tensor) -> tuple[int, int]:
    """Row and column of a map's largest value."""
    row, column = divmod(int(heat.argmax()), heat.shape[-1])
    return row, column


def explain(weights: Path, image: Path) -> tuple[Image.Image, dict[str, torch.Tensor], torch.Tensor]:
    """Maps (T, H, W) of the classes by each method, at the size the network sees, and the class probabilities."""
    network = camfast.models.load("squeezenet1_0", weights)
    assert network.preprocess is not None
    photograph = Image.open(image).convert("RGB")
    inputs = network.preprocess(photograph)
    results = {
        method: camfast.Explainer(network.module, LAYER, method, **options)(inputs, list(CLASSES))
        for method, options in METHODS.items()
    }
    scores = next(iter(results.values())).scores
    return photograph, {method: result.maps[0] for method, result in results.items()}, scores[0].softmax(0)


def draw(photograph: Image.Image, maps: dict[str, torch.Tensor], probabilities: torch.Tensor) -> Figure:
    """One row a class, one column a method, a cross at the peak; signed maps diverge from 0."""
    figure = Figure(figsize=(3.1 * (1 + len(maps)), 5.6), layout="constrained")
    axes = figure.subplots(len(CLASSES), 1 + len(maps))
    for row, (index, label) in enumerate(CLASSES.items()):
        heats = {method: heat[row] for method, heat in maps.items()}
        picture = np.asarray(photograph.resize(next(iter(heats.values())).shape[::-1]))
        axes[row, 0].imshow(picture)
        axes[row, 0].set_title(f"{label}, p = {probabilities[index]:.2f}")
        for column, (method, heat) in enumerate(heats.items(), start=1):
            limit = float(heat.abs().max()) or 1.0  # an empty map is drawn as nothing
            signed = bool((heat < 0).any())
            axes[row, column].imshow(picture.mean(-1), cmap="gray")
            drawn = axes[row, column].imshow(
                heat.numpy(),
                cmap="RdBu_r" if signed else "inferno",
                vmin=-limit if signed else 0,
                vmax=limit,
                alpha=(heat.abs() / limit).clamp(0, 1).mul(0.85).numpy(),
            )
            y, x = peak(heat)
            axes[row, column].plot(x, y, "+", color="cyan", markersize=14, markeredgewidth=2)
            axes[row, column].set_title(method)
            figure.colorbar(drawn, ax=axes[row, column], shrink=0.8)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure


def main() -> None:
    """Parse the command line, draw and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="trained weights (.safetensors)")
    parser.add_argument("--image", type=Path, required=True, help="a photograph with both animals")
    parser.add_argument("--out", type=Path, default=Path("cat_and_dog.png"))
    options = parser.parse_args()
    photograph, maps, probabilities = explain(options.weights, options.image)
    for method, heats in maps.items():
        for label, heat in zip(CLASSES.values(), heats, strict=True):
            print(f"{method:10s} {label:12s} peak at row {peak(heat)[0]}, column {peak(heat)[1]}")
    draw(photograph, maps, probabilities).savefig(options.out, dpi=90)
    print(options.out)


if __name__ == "__main__":
    main()
