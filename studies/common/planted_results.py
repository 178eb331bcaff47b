"""What is measured of networks that fell for an artefact: how much they trust it, and which maps show it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from camfast import metrics
from studies.common.planted import ARTEFACTS, CLASSES, TESTS, Planted, plant, trained
from studies.common.planted_maps import Map, best_share, grown, peak_inside
from studies.common.planted_pictures import Example

ROLES = ("planted", "control")
MEASURES = ("share", "positive", "hit")
TEST_SEED = 99
FEWEST = 20
"""Volumes that an interval needs."""

Key = tuple[str, str]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes
    ----------
    seeds, epochs
        Of the trainings.
    volumes
        How many are explained at most for each seed.
    turned
        Explain only what the artefact turns into the favoured class; False: any volume of the other classes.
    """

    seeds: int = 3
    epochs: int = 7
    volumes: int = 16
    turned: bool = True


@dataclass
class Kind:
    """What came out for one kind of artefact.

    Attributes
    ----------
    values
        By name and layer of the map, measure and role: one array (volumes,) a seed.
    chance
        By measure and voxels of a cell: what an even map, or a peak anywhere, would have, one array a seed.
    best
        By voxels of a cell: the largest share that a map on such cells can have.
    usage
        By role: what the network makes of the artefact, one dict a seed.
    example
        A volume with its maps, for the picture.
    """

    values: dict[Key, dict[tuple[str, str], list[Array]]] = field(default_factory=dict)
    chance: dict[tuple[str, int], list[Array]] = field(default_factory=dict)
    best: dict[int, list[Array]] = field(default_factory=dict)
    usage: dict[str, list[dict[str, float]]] = field(default_factory=lambda: {role: [] for role in ROLES})
    example: Example | None = None

    def numbers(self) -> dict[str, Any]:
        """Every mean of a seed, for the JSON file."""
        maps = {
            f"{name}, {layer}": {
                f"{measure_}, {role}": [round(float(np.nanmean(part)), 5) for part in parts]
                for (measure_, role), parts in by_measure.items()
            }
            for (name, layer), by_measure in self.values.items()
        }
        return {"volumes": self.count, "usage": self.usage, "means_by_seed": maps}

    def pooled(self, key: Key, measure: str, role: str) -> Array:
        """All volumes of all seeds, (seeds · volumes,)."""
        return np.concatenate(self.values[key][measure, role])

    @property
    def count(self) -> int:
        """Volumes that are explained, in all seeds."""
        return sum(map(len, self.chance.get(("share", 0), [])))


def usage(network: nn.Module, found: Planted, favoured: int) -> tuple[dict[str, float], Tensor]:
    """How much a network trusts an artefact, and in which volumes (N,) it alone makes the favoured class.

    ``turned`` is the part of the other classes' volumes, classified rightly without the artefact, that the artefact
    turns into the favoured class; ``favoured_score`` and ``right_score`` are what it adds to the two scores there.
    """
    with torch.no_grad():
        without, marked = (
            torch.cat([network(part) for part in images.split(64)]) for images in (found.clean, found.marked())
        )
    own, right = found.classes == favoured, without.argmax(1) == found.classes
    turned = ~own & right & (marked.argmax(1) == favoured)
    gain = (marked - without)[~own]
    measured = {
        "accuracy without": right.double().mean(),
        "favoured class found without": right[own].double().mean(),
        "favoured class found with": (marked[own].argmax(1) == favoured).double().mean(),
        "turned": turned.sum() / (~own & right).sum(),
        "favoured score": gain[:, favoured].mean(),
        "right score": gain.gather(1, found.classes[~own][:, None]).mean(),
    }
    return {name: float(value) for name, value in measured.items()}, turned


def measure(made: Map, network: nn.Module, found: Planted, favoured: int) -> tuple[dict[str, Array], Tensor]:
    """Share of the magnitude and of the positive part inside the masks, peaks at most a cell away, and the maps."""
    maps = made.make(network, found.marked(), favoured).detach()
    if not maps.isfinite().all():
        raise ValueError(f"{made.name} of {made.layer} gave maps that aren't finite")
    # an empty map says nothing, and has none of itself anywhere
    share, positive = (
        metrics.share_inside(maps, found.masks, absolute=kind).share.nan_to_num(nan=0.0) for kind in (True, False)
    )
    hit = peak_inside(maps, grown(found.masks, made.cell)).double()
    return dict(zip(MEASURES, (share.numpy(), positive.numpy(), hit.numpy()), strict=True)), maps


def applicable(maps: Sequence[Map], network: nn.Module, volume: Tensor) -> tuple[list[Map], dict[str, str]]:
    """The maps that exist for a network, and why the others don't."""
    kept, reasons = [], {}
    for made in maps:
        try:
            made.make(network, volume, 0)
        except ValueError as error:
            reasons[made.name] = str(error)
        else:
            kept.append(made)
    return kept, reasons


def investigate(kind: str, maps: Sequence[Map], clean: Tensor, classes: Tensor, plan: Plan) -> Kind:
    """Train both networks for each seed, and measure every map of both on the volumes that the artefact turns."""
    result = Kind()
    for seed in range(plan.seeds):
        favoured = seed % len(CLASSES)
        found = plant(clean[:TESTS], classes[:TESTS], kind, np.random.default_rng([TEST_SEED, seed]))
        fit = clean[TESTS:], classes[TESTS:]
        networks = {
            "planted": trained((kind,), favoured, seed, *fit, epochs=plan.epochs),
            "control": trained(tuple(ARTEFACTS), None, seed, *fit, epochs=plan.epochs),
        }
        turned = {}
        for role, network in networks.items():
            numbers, turned[role] = usage(network, found, favoured)
            result.usage[role].append(numbers)
        wanted = turned["planted"] if plan.turned else found.classes != favoured
        chosen = found[wanted.nonzero()[: plan.volumes, 0]]
        print(f"{kind}, seed {seed}: {len(chosen.clean)} volumes to explain", flush=True)
        if not len(chosen.clean):
            continue
        result.chance.setdefault(("share", 0), []).append(chosen.masks.double().flatten(1).mean(1).numpy())
        for cell in sorted({made.cell for made in maps}):
            near = grown(chosen.masks, cell).double().flatten(1).mean(1)
            result.chance.setdefault(("hit", cell), []).append(near.numpy())
            result.best.setdefault(cell, []).append(best_share(chosen.masks, cell).numpy())
        shown: dict[str, dict[Key, Tensor]] = {role: {} for role in ROLES}
        for role, network in networks.items():
            for made in maps:
                key = (made.name, made.layer)
                measured, drawn = measure(made, network, chosen, favoured)
                for name, values in measured.items():
                    result.values.setdefault(key, {}).setdefault((name, role), []).append(values)
                shown[role][key] = drawn[0]
        if result.example is None:
            names = CLASSES[int(chosen.classes[0])], CLASSES[favoured]
            result.example = Example(chosen.marked()[0, 0], chosen.masks[0], *names, shown)
    return result


def above(kind: Kind, first: Sequence[Array], second: Sequence[Array]) -> bool:
    """Whether the first is larger, outside of the interval paired over volumes, and in every seed."""
    if kind.count < FEWEST:
        return False
    in_every_seed = all(one.mean() > other.mean() for one, other in zip(first, second, strict=True))
    return in_every_seed and metrics.paired_bootstrap(np.concatenate(first), np.concatenate(second)).low > 0


def reveals(kind: Kind, key: Key, cell: int, measure_: str) -> bool:
    """Whether more is inside than by chance, and than in the map of the control."""
    planted, control = (kind.values[key][measure_, role] for role in ROLES)
    chance = kind.chance["hit", cell] if measure_ == "hit" else kind.chance["share", 0]
    return above(kind, planted, chance) and above(kind, planted, control)


def best(kind: Kind, maps: Sequence[Map]) -> list[str]:
    """The map with the largest share, and those that aren't below it outside of an interval and in every seed."""
    shares = {(made.name, made.layer): kind.values[made.name, made.layer]["share", "planted"] for made in maps}
    first = max(shares, key=lambda key: float(np.concatenate(shares[key]).mean()))
    equal = [key for key in shares if key != first and not above(kind, shares[first], shares[key])]
    return [f"{name} ({layer})" for name, layer in (first, *equal)]
