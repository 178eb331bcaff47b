"""What is left of the confidence when a network sees only what a map shows? Tables 2 to 4 of Extended-CAM (Kim 2020).

Average drop (lower is better) and increase in confidence (higher is better) in percent, for the absolute mask in both
scalings and for the better half of the pixels. The main test bed is CNN-2 on test subtomograms, whose flatten and dense
layers are the paper's case; then ResNet-20 and SqueezeNet, where maps coincide behind the global average pooling.
Needs CNN-2::

    python -m studies.train_subtomograms --snr inf
    python -m studies.confidence
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

import camfast
from camfast import metrics, ops, plot
from camfast.gradients import target_gradients
from camfast.metrics import ConfidenceChange
from camfast.models import Preprocess
from studies.common.pictures import Pictures, cifar, photographs
from studies.common.report import Study, Table, arguments, interval, spread
from studies.common.subtomograms import pool
from studies.train_subtomograms import quick_network, trained

METHODS = ("gradcam", "gradcam++", "extended", "respond")
UPSAMPLINGS = ("gaussian", "linear")
MASKS = ("minmax", "positive", "top50")
FEWER = ("minmax", "top50")
SPREADS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
RECTIFIED = {
    "nowhere": ("none", False, False),
    "on the gradients": ("gradients", False, False),
    "on the products": ("product", False, False),
    "on the grid": ("none", True, False),
    "after upsampling": ("none", False, True),
}
PUBLISHED = (
    ("absolute", "46.56 / 13.42", "36.84 / 17.05", "21.89 / 28.72"),
    ("better half", "47.94 / 16.39", "45.60 / 15.10", "39.86 / 20.72"),
    ("better half, Gaussian", "43.64 / 17.46", "47.79 / 13.99", "39.86 / 20.72"),
    ("better half, bilinear", "47.94 / 16.39", "45.60 / 15.10", "79.23 / 4.02"),
)


@dataclass(frozen=True)
class Bed:
    """A network, its test images, and how they are masked.

    Attributes
    ----------
    preprocess
        What stands between a displayed image and the input; None where inputs are what is displayed.
    layers
        The layer of interest first.
    """

    name: str
    network: nn.Module
    inputs: Tensor
    preprocess: Preprocess | None
    layers: Sequence[str]
    calibration: Tensor


@dataclass(frozen=True)
class Features:
    """Activations (N, C, *S) of a layer, gradients of the top class, its scores (N,), and how to upsample."""

    A: Tensor
    G: Tensor
    y: Tensor
    size: tuple[int, ...]
    sigma: tuple[float, ...]
    centres: tuple[tuple[float, float], ...]

    def maps(self, method: str, upsample: Literal["gaussian", "linear"], spread: float = 1.0) -> Tensor:
        """Maps at the images' size, with the method's own ReLU on the grid; ``"random"`` asks no network."""
        if method == "random":
            L = torch.rand(len(self.A), *self.A.shape[2:], generator=torch.Generator().manual_seed(0))
            if upsample == "linear":
                return ops.linear_upsample(L, self.size)
            return ops.gaussian_upsample(L, self.size, self.sigma, centres=self.centres)
        return ops.fused_cam(self.A, self.G, method, size=self.size, **self.upsampling(upsample, spread))

    def upsampling(self, upsample: Literal["gaussian", "linear"], spread: float = 1.0) -> dict[str, Any]:
        """Options of an upsampling, σ as measured times ``spread``."""
        if upsample == "linear":
            return {"upsample": "linear"}
        sigma = [spread * value for value in self.sigma]
        return {"upsample": "gaussian", "sigma": sigma, "centres": self.centres}


def features(bed: Bed, layer: str) -> Features:
    """Run a network once over its images."""
    parts = []
    for batch in bed.inputs.split(32):
        with camfast.capture(bed.network, layer) as captured:
            scores = bed.network(batch)
        top = scores.amax(1, keepdim=True)
        ((_, (G,)),) = target_gradients(top, [captured.activations])
        parts.append((captured.activations.detach(), G[0], top[:, 0].detach()))
    A, G, y = (torch.cat(column) for column in zip(*parts, strict=True))
    sigma = camfast.effective_receptive_field(bed.network, bed.calibration, layer).sigma
    centres = camfast.receptive_field_centres(bed.network, layer, bed.inputs[:1])
    return Features(A, G, y, tuple(bed.inputs.shape[2:]), sigma, centres)


def changes(bed: Bed, maps: Tensor, masks: Sequence[str] = MASKS) -> dict[str, ConfidenceChange]:
    """Confidences for each way to mask."""
    baseline: Literal["mean", "black"] = "mean" if bed.preprocess is None else "black"
    common: dict[str, Any] = {"baseline": baseline, "preprocess": bed.preprocess}
    options = {"minmax": {"scale": "minmax"}, "positive": {"scale": "positive"}, "top50": {"mask": "top50"}}
    return {name: metrics.confidence_change(bed.network, bed.inputs, maps, **options[name], **common) for name in masks}


def cells(found: dict[str, ConfidenceChange], masks: Sequence[str] = MASKS) -> list[str]:
    """Drop and increase with their 95 % intervals over images, and the number of constant maps."""
    shown = []
    for name in masks:
        drop, rise = metrics.bootstrap(found[name].drop), metrics.bootstrap(found[name].increased)
        shown += [interval(drop.estimate, drop.low, drop.high, 1), interval(rise.estimate, rise.low, rise.high, 1)]
    return [*shown, "/".join(str(int(found[name].constant.sum())) for name in masks)]


def heads(*first: str, masks: Sequence[str] = MASKS) -> tuple[str, ...]:
    """The columns that `cells` fills, behind others."""
    return (*first, *(f"{name}: {what}" for name in masks for what in ("drop", "increase")), "constant maps")


def numbers(found: dict[str, ConfidenceChange]) -> dict[str, Any]:
    """For the JSON file."""
    return {
        name: {"average_drop": change.average_drop, "increase": change.increase, "constant": int(change.constant.sum())}
        for name, change in found.items()
    }


def combinations(study: Study, bed: Bed, layer: str, f: Features) -> Table:
    """Methods by upsamplings, and where Extended-CAM differs from the others by more than chance."""
    rows, kept = [], {}
    for method in (*METHODS, "random"):
        for upsample in UPSAMPLINGS:
            found = changes(bed, f.maps(method, upsample))
            kept[method, upsample] = found
            study.measurements[f"{bed.name} {layer} {method} {upsample}"] = numbers(found)
            rows.append((method, upsample, *cells(found)))
    note = f"σ = {', '.join(f'{s:.1f}' for s in f.sigma)} pixels. {differences(kept)}"
    title = f"{bed.name}, {layer}: average drop and increase in %, {len(bed.inputs)} images"
    return Table(title, heads("method", "upsampling"), rows, note)


def differences(kept: dict[tuple[str, str], dict[str, ConfidenceChange]]) -> str:
    """Say of each pair with Extended-CAM whether the drop differs, paired over images."""
    own = kept["extended", "gaussian"]
    if len(own["top50"].drop) < 20:
        return "Too few images for an order."
    parts = []
    for name in MASKS:
        for method in ("gradcam", "gradcam++", "respond", "random"):
            found = metrics.paired_bootstrap(own[name].drop, kept[method, "gaussian"][name].drop)
            verdict = "" if found.low > 0 or found.high < 0 else " (no order)"
            parts.append(f"{name}, {method} {interval(found.estimate, found.low, found.high, 1)}{verdict}")
    return "Drop of extended minus that of another, both Gaussian, paired over images: " + "; ".join(parts) + "."


def spreads(study: Study, bed: Bed, f: Features) -> Table:
    """Widen and narrow the Gaussians: can smoothing do what other weights do."""
    rows = []
    for method in ("gradcam", "extended"):
        for spread_ in SPREADS:
            found = changes(bed, f.maps(method, "gaussian", spread_), FEWER)
            study.measurements[f"{bed.name} {method} sigma x{spread_}"] = numbers(found)
            rows.append((method, f"{spread_:g}", *cells(found, FEWER)))
    title = f"{bed.name}: σ times a factor, {len(bed.inputs)} images"
    return Table(title, heads("method", "σ / measured σ", masks=FEWER), rows)


def rectified(study: Study, bed: Bed, f: Features) -> Table:
    """Where a ReLU stands in Σ_k G_k ⊙ A_k."""
    rows = []
    for name, (rectify, grid, after) in RECTIFIED.items():
        L = ops.product_sum(f.A, f.G, rectify=rectify, relu=grid)
        maps = ops.gaussian_upsample(L, f.size, f.sigma, centres=f.centres)
        found = changes(bed, maps.relu() if after else maps)
        study.measurements[f"{bed.name} relu {name}"] = numbers(found)
        rows.append((name, *cells(found)))
    return Table(f"{bed.name}: where the ReLU stands in Extended-CAM", heads("ReLU"), rows)


def residuals(f: Features) -> list[tuple[str, str]]:
    """The residual y − ΣL of the signed maps."""
    shown = []
    for method in METHODS:
        L = ops.fused_cam(f.A, f.G, method, relu=False)
        shown.append((method, spread(f.y - L.flatten(1).sum(1), 2)))
    return shown


def layers(study: Study, bed: Bed) -> Table:
    """The same two methods at every layer."""
    rows = []
    for layer in bed.layers:
        f = features(bed, layer)
        for method in ("gradcam", "extended"):
            found = changes(bed, f.maps(method, "gaussian"), FEWER)
            study.measurements[f"{bed.name} {layer} {method} gaussian, {len(bed.inputs)} images"] = numbers(found)
            grid = " × ".join(map(str, f.A.shape[2:]))
            rows.append((layer, grid, f"{f.sigma[0]:.1f}", method, *cells(found, FEWER)))
    title = f"{bed.name}: other layers, {len(bed.inputs)} images"
    return Table(title, heads("layer", "grid", "σ", "method", masks=FEWER), rows)


def first(bed: Bed, count: int) -> Bed:
    """A test bed with its first images only, for the sweeps."""
    return replace(bed, inputs=bed.inputs[:count])


def subtomograms(study: Study) -> Bed:
    """CNN-2 without noise on test subtomograms."""
    found = pool(25 if study.quick else 1000)
    loaded = quick_network(found, math.inf) if study.quick else trained("cnn2", math.inf)
    study.facts.update(loaded.metadata["training"], accuracy=f"{loaded.metadata['accuracy']:.4f}")
    images = found.images(found.indices("test")[: 24 if study.quick else 1012], math.inf)
    network = loaded.module.to(memory_format=torch.channels_last_3d)
    return Bed("CNN-2", network, images, None, ("maxpool2", "relu4", "relu3", "maxpool1"), images[:64])


def pictured(name: str, found: Pictures, layer: str, calibration: Tensor) -> Bed:
    """A network of pictures."""
    return Bed(name, found.network, found.inputs, found.preprocess, (layer,), calibration)


def picture_beds(quick: bool) -> Iterator[Bed]:
    """ResNet-20 and SqueezeNet, in front of and at the global average pooling."""
    small = cifar(2 if quick else 10)
    yield pictured("ResNet-20", small, "layer2", small.inputs)
    yield pictured("ResNet-20", small, "layer3", small.inputs)
    large, views = photographs(), photographs(2 if quick else 8)
    yield pictured("SqueezeNet", large, "fire5", views.inputs)
    yield pictured("SqueezeNet", large, "fire9", views.inputs)


def coincide(f: Features) -> str:
    """How far Grad-CAM's signed map is from Extended-CAM's, relative to its norm."""
    own, other = (ops.fused_cam(f.A, f.G, method, relu=False) for method in ("gradcam", "extended"))
    return f"‖gradcam − extended‖ / ‖extended‖ of the signed grids is {float((own - other).norm() / other.norm()):.1e}."


def main() -> None:
    """Measure every combination on every test bed."""
    study = Study("confidence", arguments(__doc__).parse_args().quick)
    bed = subtomograms(study)
    f = features(bed, "maxpool2")
    fewer = first(bed, 506)
    study.tables += [combinations(study, bed, "maxpool2", f), spreads(study, fewer, features(fewer, "maxpool2"))]
    study.tables += [rectified(study, bed, f), layers(study, fewer)]
    study.tables += [Table("CNN-2, maxpool2: y − ΣL of the signed maps", ("method", "y − ΣL"), residuals(f))]
    draw(study, bed, f)
    for other in picture_beds(study.quick):
        f = features(other, other.layers[0])
        table = combinations(study, other, other.layers[0], f)
        study.tables.append(Table(table.title, table.columns, table.rows, f"{table.note} {coincide(f)}"))
    heading = "Kim et al. 2020, VGG-16 on VOC 2007: drop / increase"
    note = "On other data and weights, not comparable in value: sign, order and ratio are."
    columns = ("published mask", "Grad-CAM", "Grad-CAM++", "Extended-CAM")
    study.tables.append(Table(heading, columns, PUBLISHED, note))
    study.facts["intervals"] = "95 %, bootstrap over images"
    study.write()


def draw(study: Study, bed: Bed, f: Features) -> None:
    """The middle slice of three subtomograms with every combination."""
    shown = (0, 1, 2)
    middle = bed.inputs.shape[2] // 2
    maps = torch.stack([f.maps(method, upsample) for method in METHODS for upsample in UPSAMPLINGS])
    study.picture(
        plot.grid(
            [bed.inputs[i, 0, middle] for i in shown],
            [[heat[i, middle] for heat in maps] for i in shown],
            rows=[f"subtomogram {i}" for i in shown],
            columns=[f"{method}, {upsample}" for method in METHODS for upsample in UPSAMPLINGS],
        ),
        "cnn2",
        "CNN-2: the middle slice of three test subtomograms, each method with both upsamplings.",
    )


if __name__ == "__main__":
    main()
