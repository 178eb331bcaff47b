"""Does a map change when what the network has learnt is taken from it? (Adebayo et al. 2018).

Layers are set to random weights from the top down, each with all above it (cascading), or one at a time. A map that
stays the same can't show what the randomised layers had learnt. What was expected of each method was written down
before the first run (``studies/common/sanity_expected.py``). Maps of a layer are signed where the method allows (no
ReLU on the grid) and compared on the layer's grid; maps of the input are summed over its channels and compared pixel by
pixel. The class is that of the trained network. Needs CNN-2::

    python -m studies.train_subtomograms --snr inf
    python -m studies.sanity
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import camfast
from camfast import metrics
from camfast.metrics import Similarity
from studies.common.pictures import cifar, photographs
from studies.common.report import Study, Table, arguments
from studies.common.sanity_expected import AFTERWARDS, EXPECTED
from studies.common.sanity_pictures import draw_cascade, draw_curves
from studies.common.subtomograms import pool
from studies.train_subtomograms import quick_network, trained

STAYS = 0.5
"""A map stays where the rank correlation of the signed values is at least this, on average; below, it changes."""

EMPTY = "no map"
OF_INPUT = ("saliency", "guided_backprop", "deconvnet", "guided_gradcam")
SHOWN = ("gradcam", "hirescam", "gradcam++", "eigencam", "saliency", "guided_backprop", "guided_gradcam")
DRAWN = ("conv10", "fire9", "fire7", "fire4", "conv1")


@dataclass(frozen=True)
class Subject:
    """A trained network with images, and the layers that are randomised, from the top down.

    Attributes
    ----------
    layer
        The explained one.
    cascade
        Layers from the top down, all of them.
    alone
        Those that are randomised one at a time.
    """

    name: str
    network: nn.Module
    inputs: Tensor
    layer: str
    cascade: tuple[str, ...]
    alone: tuple[str, ...]
    classes: Tensor = field(init=False)

    def __post_init__(self) -> None:
        with torch.no_grad():
            object.__setattr__(self, "classes", self.network(self.inputs).argmax(1))


def of_layer(subject: Subject, methods: Sequence[str]) -> Callable[[nn.Module, Tensor], Tensor]:
    """All maps of the layer, signed and on its grid, one method after the other: (methods · N, *S)."""

    def explain(network: nn.Module, inputs: Tensor) -> Tensor:
        with camfast.capture(network, subject.layer) as captured:
            scores = network(inputs)
        own = scores.gather(1, subject.classes[:, None])[:, 0]
        return torch.cat([captured.map(own, method, relu=False, size="grid") for method in methods])

    return explain


def closed_form(subject: Subject) -> Callable[[nn.Module, Tensor], Tensor]:
    """The map of the linear layer behind a global average pooling."""
    return lambda network, inputs: camfast.cam(
        network, inputs, subject.layer, subject.classes, method="cam", size="grid"
    )


def of_input(subject: Subject) -> Callable[[nn.Module, Tensor], Tensor]:
    """All maps of the input, summed over its channels, one method after the other: (methods · N, *S)."""

    def explain(network: nn.Module, inputs: Tensor) -> Tensor:
        target = subject.classes
        maps = [
            make(network, inputs, target) for make in (camfast.saliency, camfast.guided_backprop, camfast.deconvnet)
        ]
        maps.append(camfast.guided_gradcam(network, inputs, subject.layer, target))
        return torch.cat(maps).sum(1)

    return explain


def has_closed_form(subject: Subject) -> str:
    """Empty where `cam` applies; else why it doesn't."""
    try:
        closed_form(subject)(subject.network, subject.inputs)
    except ValueError as error:
        return str(error)
    return ""


def parts(similarity: Similarity, count: int) -> list[Similarity]:
    """Split what was found for several methods one after the other, (layers, seeds, methods · N)."""
    each = [measure.chunk(count, dim=2) for measure in similarity]
    return [Similarity(*one) for one in zip(*each, strict=True)]


def check(subject: Subject, seeds: int) -> dict[str, dict[str, Similarity]]:
    """Similarities by method and mode, in the order of `EXPECTED`."""
    methods = tuple(name for name in camfast.methods() if name not in ("cam", "extended"))
    runs = [(methods, of_layer(subject, methods)), (OF_INPUT, of_input(subject))]
    if not has_closed_form(subject):
        runs.insert(0, (("cam",), closed_form(subject)))
    found: dict[str, dict[str, Similarity]] = {}
    for names, explain in runs:
        for mode, layers in (("cascading", subject.cascade), ("independent", subject.alone)):
            outcome = metrics.randomization_check(
                subject.network, subject.inputs, explain, layers=layers, modes=mode, seeds=seeds
            )
            for name, part in zip(names, parts(outcome.modes[mode], len(names)), strict=True):
                found.setdefault(name, {})[mode] = part
        print(f"{subject.name}: {', '.join(names)}", flush=True)
    return found


def figures(similarity: Similarity, place: int) -> tuple[str, ...]:
    """Signed and absolute rank correlation and structural similarity at one layer, ± over seeds."""
    pairs = [(float(m[place]), float(s[place])) for m, s in zip(similarity.mean(), similarity.spread(), strict=True)]
    return tuple("–" if math.isnan(mean) else f"{mean:.2f} ± {spread:.2f}" for mean, spread in pairs)


def verdict(similarity: Similarity, place: int) -> str:
    """Whether the map stays or changes; nothing is to be said where it is constant for every seed and image."""
    mean = float(similarity.mean().spearman[place])
    return EMPTY if math.isnan(mean) else said(mean >= STAYS)


def said(stays: bool) -> str:
    """The word for it."""
    return "stays" if stays else "changes"


def table(subject: Subject, found: dict[str, dict[str, Similarity]]) -> Table:
    """Expectation beside outcome, for the top layer alone and for all layers; what was expected wrongly is bold."""
    top = subject.cascade[0]
    columns = ["map"]
    for where in (f"{top} random", "all random"):
        columns += [f"{where}: expected", "found", "Spearman", "of magnitudes", "SSIM"]
    columns.append("constant maps")
    rows = []
    for name, expected in EXPECTED.items():
        if name not in found:
            continue
        similarity = found[name]["cascading"]
        row = [name]
        for place, guess in zip((0, -1), expected, strict=False):
            outcome = verdict(similarity, place)
            word = outcome if outcome in (said(guess), EMPTY) else f"**{outcome}**"
            row += [said(guess), word, *figures(similarity, place)]
        maps = similarity.spearman[0].numel()
        rows.append((*row, f"{int(similarity.undefined[0])}, {int(similarity.undefined[-1])} of {maps}"))
    note = (
        f"± is the spread over seeds. A map *stays* at a rank correlation of {STAYS} or more. Constant maps (with the "
        "top layer, with all layers random) have no rank and are left out. Bold: expected otherwise."
    )
    title = f"{subject.name}, {subject.layer}, {len(subject.inputs)} images: cascading randomisation"
    return Table(title, tuple(columns), rows, note)


def alone(subject: Subject, found: dict[str, dict[str, Similarity]]) -> Table:
    """Rank correlation with one layer random and all others trained."""
    rows = [
        (name, *(figures(found[name]["independent"], place)[0] for place in range(len(subject.alone))))
        for name in EXPECTED
        if name in found
    ]
    title = f"{subject.name}, {subject.layer}: one layer at a time, Spearman of the signed values"
    return Table(title, ("map", *(f"{layer} random" for layer in subject.alone)), rows)


def wrong(outcome: Sequence[tuple[Subject, dict[str, dict[str, Similarity]]]]) -> str:
    """Which expectations didn't come true."""
    missed, count = [], 0
    for subject, found in outcome:
        for name, by_mode in found.items():
            for place, guess, where in zip((0, -1), EXPECTED[name], ("top", "all"), strict=False):
                seen = verdict(by_mode["cascading"], place)
                count += seen != EMPTY
                if seen not in (said(guess), EMPTY):
                    value = float(by_mode["cascading"].mean().spearman[place])
                    missed.append(f"{name} on {subject.name}, {where} random: expected *{said(guess)}*, {value:.2f}")
    return f"{len(missed)} of {count} expectations were wrong: {'; '.join(missed) or 'none'}."


def subjects(study: Study) -> Iterator[Subject]:
    """The three networks, each with images that it was trained for."""
    fires = tuple(f"fire{number}" for number in range(9, 1, -1))
    large = photographs()
    shown = slice(0, 1) if study.quick else slice(None)
    yield Subject(
        "SqueezeNet", large.network, large.inputs[shown], "fire9", ("conv10", *fires, "conv1"),
        ("conv10", "fire5", "conv1"),
    )  # fmt: skip
    small = cifar(2)
    few = small.inputs[:2] if study.quick else small.inputs
    residual = ("linear", "layer3", "layer2", "layer1", "conv1")
    yield Subject("ResNet-20", small.network, few, "layer3", residual, residual)
    found = pool(25 if study.quick else 1000)
    loaded = quick_network(found, math.inf) if study.quick else trained("cnn2", math.inf)
    study.facts["cnn2_accuracy"] = f"{loaded.metadata['accuracy']:.4f}"
    images = found.images(found.indices("test")[: 2 if study.quick else 4], math.inf)
    dense = ("fc3", "fc2", "fc1", "conv4", "conv3", "conv2", "conv1")
    yield Subject("CNN-2", loaded.module, images, "maxpool2", dense, ("fc3", "fc1", "conv4", "conv1"))


def cascade(subject: Subject, index: int) -> list[list[Tensor]]:
    """Maps of one image by method, of the trained network and then with one more layer random each time."""
    one = Subject(subject.name, subject.network, subject.inputs[index : index + 1], subject.layer, subject.cascade, ())
    kept: list[Tensor] = []
    layered = tuple(name for name in SHOWN if name not in OF_INPUT)
    size = tuple(subject.inputs.shape[2:])

    def explain(network: nn.Module, inputs: Tensor) -> Tensor:
        grid = of_layer(one, layered)(network, inputs)
        of_image = dict(zip(OF_INPUT, of_input(one)(network, inputs), strict=True))
        chosen = [of_image[name] for name in SHOWN if name in OF_INPUT]
        kept.append(torch.cat([camfast.ops.linear_upsample(grid, size), torch.stack(chosen)]))
        return kept[-1]

    metrics.randomization_check(one.network, one.inputs, explain, layers=one.cascade, modes="cascading", seeds=1)
    return [list(by_method) for by_method in zip(*kept, strict=True)]


def report(study: Study, outcome: Sequence[tuple[Subject, dict[str, dict[str, Similarity]]]]) -> None:
    """Expectations beside outcomes, in text, tables and pictures."""
    rows = [(name, said(top), said(whole), why) for name, (top, whole, why) in EXPECTED.items()]
    study.text += [wrong(outcome), *([] if study.quick else AFTERWARDS)]
    study.tables.append(Table("Expected before the run", ("map", "top layer random", "all random", "because"), rows))
    curves = []
    for subject, found in outcome:
        study.tables += [table(subject, found), alone(subject, found)]
        if reason := has_closed_form(subject):
            study.text.append(f"{subject.name}: no `cam`, as camfast says: {reason}")
        study.measurements[subject.name] = {
            name: {mode: numbers(subject, mode, part) for mode, part in by_mode.items()}
            for name, by_mode in found.items()
        }
        curves.append((subject.name, subject.cascade, {name: part["cascading"] for name, part in found.items()}))
    caption = "Rank correlation with the trained network's map, one more layer random each time."
    study.picture(draw_curves(curves), "curves", caption)
    subject = outcome[0][0]
    states = [0, *(1 + subject.cascade.index(name) for name in DRAWN)]
    maps = [[by_state[state] for state in states] for by_state in cascade(subject, 0)]
    figure = draw_cascade(photographs().displayed[0], maps, SHOWN, ["trained", *DRAWN])
    caption = (
        "SqueezeNet, fire9, one photograph and seed: the trained network, then all layers random down to the one "
        "named; each map in colours of its own, red above 0, blue below."
    )
    study.picture(figure, "cascade", caption)


def numbers(subject: Subject, mode: str, found: Similarity) -> dict[str, Any]:
    """Means and spreads over seeds, for the JSON file."""
    layers = subject.cascade if mode == "cascading" else subject.alone
    kinds = (("", found.mean()), ("_spread", found.spread()))
    values = {
        f"{key}{end}": [round(v, 4) for v in m.tolist()] for end, one in kinds for key, m in one._asdict().items()
    }
    return {"layers": layers, **values}


def main() -> None:
    """Check every method on every network."""
    study = Study("sanity", arguments(__doc__).parse_args().quick)
    seeds = 1 if study.quick else 5
    study.facts.update(random_seeds=seeds, stays=f"Spearman of at least {STAYS}")
    report(study, [(subject, check(subject, seeds)) for subject in subjects(study)])
    study.write()


if __name__ == "__main__":
    main()
