"""Attentive response maps (Kumar et al. 2018): which units respond, and whether better networks look at the particle.

First on photographs and CIFAR images: the top five units apart, the top 25 together, and how much the choices that a
map records (rule, rank, reduction) change it. Then the experiment of that paper on subtomograms without noise: a
shallow network, CNN-2, and CNN-2 with augmentation, each trained on few subtomograms; accuracy beside the share of the
response that lies inside the true density::

    python -m studies.train_subtomograms --network shallow --per-class 250
    python -m studies.train_subtomograms --per-class 250 --epochs 10
    python -m studies.train_subtomograms --per-class 250 --epochs 10 --augment
    python -m studies.attentive
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

import camfast
from camfast import metrics, plot
from studies.common.drawing import draw_alone, panels
from studies.common.pictures import Pictures, cifar, first, photographs
from studies.common.report import Study, Table, arguments, interval
from studies.common.subtomograms import Pool, pool
from studies.train_subtomograms import accuracy, quick_network, trained

PER_CLASS = 250
VARIED = {
    "as it is": {},
    "rule linear": {"rule": "linear"},
    "rank by sum": {"rank": "sum"},
    "channels by max": {"reduce": "max"},
    "channels by abs": {"reduce": "abs"},
    "linear, by sum, abs": {"rule": "linear", "rank": "sum", "reduce": "abs"},
}
UNITS = 25


@dataclass(frozen=True)
class Trained:
    """A network of the experiment on subtomograms."""

    name: str
    network: nn.Module
    layer: str
    accuracy: float


def vary(network: nn.Module, inputs: Tensor, layer: str) -> dict[str, list[float]]:
    """Pearson's r of each varied map with the default one, image by image."""
    maps = {
        name: camfast.attentive_response(network, inputs, layer, UNITS, **options).values.flatten(1)
        for name, options in VARIED.items()
    }
    default = maps["as it is"]
    return {
        name: [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in zip(found, default, strict=True)]
        for name, found in maps.items()
    }


def choices(study: Study, name: str, found: Pictures, layer: str) -> Table:
    """How far each choice moves the map."""
    measured = vary(found.network, found.inputs, layer)
    study.measurements[f"{name} {layer}"] = measured
    rows = []
    for choice, values in measured.items():
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        rows.append((choice, f"{middle:.2f}", f"{low:.2f} to {high:.2f}"))
    columns = ("choice", "median r with the default map", "quartiles over images")
    return Table(f"{name}, {layer}: {len(found.inputs)} images, top {UNITS} units", columns, rows)


def draw_units(study: Study, name: str, found: Pictures, layer: str, shown: list[int]) -> None:
    """The top five units apart, and the 25 together."""
    inputs = found.inputs[shown]
    apart = camfast.attentive_response(found.network, inputs, layer, 5, per_unit=True)
    together = camfast.attentive_response(found.network, inputs, layer, UNITS)
    assert apart.maps is not None
    titles = [*(f"unit {rank + 1}" for rank in range(5)), f"top {UNITS}"]
    figure, axes = panels([found.names[index] for index in shown], ["image", *titles])
    for row, index, maps, values in zip(axes, shown, apart.maps, together.values, strict=True):
        row[0].imshow(found.displayed[index])
        for panel, heat in zip(row[1:], [*maps, values], strict=True):
            draw_alone(panel, heat)
    caption = f"{layer}: the five units with the largest maximum, each projected back alone, and {UNITS} together."
    study.picture(figure, name, caption, layer=layer)
    whole = camfast.attentive_response(found.network, inputs[:1], layer, UNITS, per_unit=True)
    caption = f"{found.names[shown[0]]}, {layer}: the response, and which unit dominates where."
    study.picture(plot.units(found.displayed[shown[0]], whole), f"{name}_units", caption, layer=layer)


def networks(study: Study, found: Pool) -> Iterator[Trained]:
    """The three networks, or two trained for seconds."""
    if study.quick:
        loaded = quick_network(found, math.inf)
        yield Trained("CNN-2", loaded.module, "relu4", loaded.metadata["accuracy"])
        return
    for name, network, layer, augmented in (
        ("shallow", "shallow", "relu1", False),
        ("CNN-2", "cnn2", "relu4", False),
        ("CNN-2, augmented", "cnn2", "relu4", True),
    ):
        loaded = trained(network, math.inf, per_class=PER_CLASS, augmented=augmented)
        yield Trained(name, loaded.module, layer, accuracy(loaded.module, found, "test", math.inf))
    loaded = trained("cnn2", math.inf)
    yield Trained("CNN-2, 1,000 a class", loaded.module, "relu4", accuracy(loaded.module, found, "test", math.inf))


def look(one: Trained, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (N, D, H, W), and the share of their positive part inside the true density, (N,)."""
    maps = torch.cat(
        [camfast.attentive_response(one.network, batch, one.layer, UNITS).values for batch in images.split(8)]
    )
    positive = maps.clamp(min=0).flatten(1)
    return maps, (positive * masks.flatten(1)).sum(1) / positive.sum(1)


def particles(study: Study) -> Table:
    """Accuracy beside where the response lies; misclassified cases as a picture."""
    found = pool(25 if study.quick else PER_CLASS)
    indices = found.indices("test")[: 23 if study.quick else 230]
    images, masks, classes = found.images(indices, math.inf), found.masks(indices), found.classes(indices)
    chance = masks.double().flatten(1).mean(1)
    rows, wrong = [], None
    for one in networks(study, found):
        maps, share = look(one, images, masks)
        with torch.no_grad():
            predicted = torch.cat([one.network(batch).argmax(1) for batch in images.split(32)])
        right = predicted == classes
        cells = [one.name, f"{one.accuracy:.4f}"]
        for chosen in (torch.ones_like(right), right, ~right):
            if int(chosen.sum()) < 5:
                cells.append(f"{int(chosen.sum())} only")
                continue
            middle = metrics.bootstrap(share[chosen])
            cells.append(f"{interval(middle.estimate, middle.low, middle.high)} ({int(chosen.sum())})")
        rows.append((*cells, f"{float(chance.mean()):.2f}"))
        study.measurements[f"inside {one.name}"] = {"accuracy": one.accuracy, "share": share, "right": right}
        if wrong is None and one.name.startswith("CNN-2") and int((~right).sum()):
            wrong = (one, maps, predicted, (~right).nonzero().flatten()[:4].tolist())
    if wrong is not None:
        draw_wrong(study, found, images, masks, classes, *wrong)
    columns = ("network", "test accuracy", "share inside: all", "right", "wrong", "part of the volume")
    note = "Mean with 95 % interval over subtomograms (how many); shares of the positive part of the map."
    return Table(f"Subtomograms without noise, {PER_CLASS} a class", columns, rows, note)


def draw_wrong(
    study: Study, found: Pool, images: Tensor, masks: Tensor, classes: Tensor, one: Trained, maps: Tensor,
    predicted: Tensor, cases: list[int],
) -> None:  # fmt: skip
    """Misclassified subtomograms: the middle slice, its true density, and the response."""
    middle = images.shape[2] // 2
    figure = plot.grid(
        [images[case, 0, middle] for case in cases],
        [[masks[case, middle].float(), maps[case, middle]] for case in cases],
        rows=[f"{found.labels[classes[case]]}\ntaken for {found.labels[predicted[case]]}" for case in cases],
        columns=["true density", "attentive response"],
    )
    study.picture(figure, "misclassified", f"{one.name}: subtomograms it takes for another class, middle slices.")


def main() -> None:
    """Both parts."""
    study = Study("attentive", arguments(__doc__).parse_args().quick)
    large, small = photographs(), cifar()
    beds = [
        ("squeezenet", large, "fire9", [0, 1, 2, 3]),
        ("squeezenet_fire5", large, "fire5", [0, 1, 2, 3]),
        ("resnet20", small, "layer3", [0, 30, 50, 90]),
    ]
    if study.quick:
        beds = [("squeezenet", first(large, 1), "fire9", [0]), ("resnet20", first(small, 4), "layer3", [0, 3])]
    for name, found, layer, shown in beds:
        study.tables.append(choices(study, "ResNet-20" if name == "resnet20" else "SqueezeNet", found, layer))
        draw_units(study, name, found, layer, shown)
    study.tables.append(particles(study))
    study.write()


if __name__ == "__main__":
    main()
