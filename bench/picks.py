"""Precision and recall of picks in simulated tomograms: ``python -m bench.picks [--weights FILE]``.

Tomograms with all eight built-in shapes are scanned with a network that also knows *nothing*, and the peaks of each
shape's map are set beside the particles: one pick for one particle, the larger value of the map first, at most the
radius of the particle's density away (6.9 voxels for balls, 9.9 to 10.5 for the others). Two rules of picking:

- *window agrees*, the default: the window nearest to the peak is predicted as the shape;
- *map alone*: the map is above two of its standard deviations, whatever the windows say.

Two more columns tell what was missed. *window right* is the share of particles whose nearest window is predicted as
their shape, *taken for* the wrong verdict that most of the others get, *peak there* the share of particles that have a
peak of their shape's map above 0 within the radius: where the first is low the network confuses shapes, where the last
is low the map is dim.

The bundled network was trained at SNR 2. A network of the same kind, trained at SNR 0.5 in about 8 minutes, is measured
too with ``--weights build/studies/subtomograms_snr0.5.safetensors`` after::

    python examples/train_subtomograms.py --snr 0.5 --epochs 24 --out build/studies/subtomograms_snr0.5.safetensors
"""

import argparse
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from bench.report import Circumstances, Report
from camfast import Explainer, models, simulate
from camfast.cli.demo import METHOD, PARTICLES, SHAPE, STRIDE
from camfast.errors import IllConditionedWarning
from camfast.models import Loaded
from camfast.scan import scan
from camfast.scan.picking.matching import Match, match, pair
from camfast.scan.picking.peaks import peaks
from camfast.scan.picking.picks import choose, default_distance, nearest_window
from camfast.scan.windows.plan import plan_windows

COLUMNS = (
    "network", "SNR", "layer, stride", "shape", "particles", "window agrees: precision", "recall",
    "map alone: precision", "recall", "window right", "taken for", "peak there",
)  # fmt: skip
PAIR = ("barrel", "shell")
DEVIATIONS = 2.0
BUNDLED = "subtomogram_demo"
FINER = ("relu4", 4)
FIRST_SEED = 10  # rules, radius and threshold were chosen on the tomograms of seeds 0 to 3

Size = tuple[int, int, int]


@dataclass(frozen=True)
class Setting:
    """A network, where it is explained, and the noise that it meets."""

    network: str
    snr: float
    layer: str = "maxpool2"
    stride: int = STRIDE

    def load(self) -> Loaded:
        return models.load(BUNDLED) if self.network == BUNDLED else models.load("cnn2", self.network)

    @property
    def cells(self) -> tuple[str, str, str]:
        trained = f"{self.load().metadata['training']['snr']:g}"
        name = "bundled" if self.network == BUNDLED else "own"
        return f"{name}, trained at SNR {trained}", f"{self.snr:g}", f"{self.layer}, {self.stride}"


@dataclass
class Found:
    """What is counted of one shape, or of several together."""

    agreeing: Match = field(default_factory=Match)
    alone: Match = field(default_factory=Match)
    right: int = 0
    there: int = 0
    taken_for: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "Found") -> "Found":
        return Found(
            self.agreeing + other.agreeing,
            self.alone + other.alone,
            self.right + other.right,
            self.there + other.there,
            self.taken_for + other.taken_for,
        )


def measure(setting: Setting, seed: int, *, size: Size = SHAPE, particles: int = PARTICLES) -> dict[str, Found]:
    """Scan one tomogram for every shape, pick, and count, by shape."""
    loaded = setting.load()
    assert loaded.labels is not None
    labels, window = loaded.labels, loaded.metadata["window"][0]
    radius = {template.label: template.radius for template in simulate.particles.templates(None)}
    tomogram = simulate.tomogram(size, particles, seed=seed, snr=setting.snr)
    classes = [index for index, label in enumerate(labels) if label != "nothing"]
    explainer = Explainer(loaded.module, setting.layer, METHOD)
    options = {"window": window, "stride": setting.stride, "target": classes, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IllConditionedWarning)
        result = scan(tomogram.data, explainer, **options)
    plan = plan_windows(size, window, setting.stride)
    scores = result.scores.numpy()
    found = {}
    for target, cam in zip(classes, np.asarray(result.cam), strict=True):
        label = labels[target]
        centres = np.array([p.centre for p in tomogram.particles if p.label == label]).reshape(-1, 3)
        every = peaks(cam, distance=default_distance(plan))
        high = every.value > DEVIATIONS * cam.std()
        counts = [
            match(picks, {target: centres}, radius[label])[target]
            for picks in (
                choose(every, scores, plan, target),
                choose(type(every)(*(column[high] for column in every)), scores, plan, target, agree=False),
            )
        ]
        verdicts = Counter(labels[i] for i in scores[tuple(nearest_window(plan, centres).T)].argmax(axis=1))
        right = verdicts.pop(label, 0)
        there = int((pair(every.centre[np.argsort(-every.value)], centres, radius[label]) >= 0).sum())
        found[label] = Found(*counts, right, there, verdicts)
    return found


def lines(setting: Setting, found: dict[str, Found], pair_of: Sequence[str] = PAIR) -> list[tuple[str, ...]]:
    """Rows of the table: each shape of the pair, the pair, and all shapes."""
    both = sum((found[label] for label in pair_of), Found())
    every = sum(found.values(), Found())
    shown = {**{label: found[label] for label in pair_of}, f"these {len(pair_of)}": both, f"all {len(found)}": every}
    return [(*setting.cells, label, *_cells(one)) for label, one in shown.items()]


def _cells(found: Found) -> tuple[str, ...]:
    particles = found.agreeing.particles
    wrong, times = found.taken_for.most_common(1)[0] if found.taken_for else ("–", 0)
    rates = [rate for one in (found.agreeing, found.alone) for rate in (one.precision, one.recall)]
    return (
        str(particles),
        *("–" if np.isnan(rate) else f"{rate:.2f}" for rate in rates),
        f"{found.right / max(particles, 1):.2f}",
        f"{wrong} {times / max(particles, 1):.2f}" if times else "–",
        f"{found.there / max(particles, 1):.2f}",
    )


def settings(snr: float, weights: Path | None) -> list[Setting]:
    """The bundled network where it was trained and at the noise asked for, on a finer grid too, and another network."""
    trained = float(models.load(BUNDLED).metadata["training"]["snr"])
    own = [] if weights is None else [Setting(str(weights), snr)]
    easier = [Setting(BUNDLED, trained)] if snr != trained else []
    return [*easier, Setting(BUNDLED, snr), Setting(BUNDLED, snr, *FINER), *own]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.picks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--snr", type=float, default=0.5, help="nominal SNR of the tomograms (default 0.5)")
    parser.add_argument(
        "--tomograms", type=int, default=6, help=f"how many, with the seeds from {FIRST_SEED} (default 6)"
    )
    parser.add_argument("--weights", type=Path, help="a CNN-2 with the bundled network's classes, trained elsewhere")
    parser.add_argument("--quick", action="store_true", help="one small tomogram, the bundled network at stride 8")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    options = parser.parse_args()
    if options.write and options.quick:
        parser.error("--write is for the full measurement: leave out --quick")

    torch.manual_seed(0)
    circumstances, rows = Circumstances.now(), []
    for setting in [Setting(BUNDLED, options.snr)] if options.quick else settings(options.snr, options.weights):
        together: dict[str, Found] = {}
        for seed in range(1 if options.quick else options.tomograms):
            small = {"size": (48, 96, 96), "particles": 16} if options.quick else {}
            for label, found in measure(setting, FIRST_SEED + seed, **small).items():
                together[label] = together.get(label, Found()) + found
        rows += lines(setting, together)
    command = "python -m bench.picks" + (f" --snr {options.snr:g}" if options.snr != 0.5 else "")
    command += f" --tomograms {options.tomograms}" if options.tomograms != 6 else ""
    command += f" --weights {options.weights}" if options.weights else ""
    command += " --quick" if options.quick else ""
    report = Report("picks", command, circumstances, COLUMNS, tuple(rows))
    print(report.markdown())
    if options.write:
        report.write_into()


if __name__ == "__main__":
    main()
