"""Tables of the study of segmentation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

import camfast
from studies.common.report import Table, interval
from studies.common.segments import CELLS, GRAD, HIRES, METHODS, REGIONS, VOXELS, Case, Outcome, regions_of

ONE = "component"
"""The region that all methods are shown for."""
COSTS = {"seconds": 1, "peak": 0, "before": 0}
SWEPT = 4
"""Samples that a sweep over all layers takes at most."""
KINDS = ("inside", "drop", "empty")


def localisation(case: Case, outcome: Outcome) -> Table:
    """Where the two methods put their maps, by layer and region."""
    rows = []
    for layer in case.layers:
        for region in REGIONS[1:]:
            chance = outcome.by_group(outcome.chance[region]).mean()
            shares = [outcome.mean("inside", layer, region, method) for method in (GRAD, HIRES)]
            shown = [f"{value:.2g}" for value in (chance, *shares)]
            rows.append([layer, region, *shown, _difference(outcome, "inside", layer, region, 4)])
    note = (
        f"Share of Σ|L| inside M, empty maps left out; chance is M's part of the image. {_samples(outcome)} It says "
        "where a map lies, not whether it is right."
    )
    columns = ("layer", "region M", "chance", GRAD, HIRES, f"{HIRES} − {GRAD}")
    return Table(f"{case.name}: where maps lie", columns, rows, note)


def faithfulness(case: Case, outcome: Outcome) -> Table:
    """What the region loses with the voxels that the two methods name, by layer and region."""
    rows = []
    for layer in case.tested:
        for region in case.changed:
            means = [outcome.mean("drop", layer, region, method) for method in (VOXELS, CELLS, GRAD, HIRES)]
            rows.append(
                [layer, region, *(f"{mean:.2f}" for mean in means), _difference(outcome, "drop", layer, region)]
            )
    note = (
        f"Drop of the class's score, in logits a voxel of M, when the {100 * case.part:g} % of voxels where a map is "
        f"largest are replaced by a blur of the image (σ an eighth of its side). {CELLS.capitalize()}: random values "
        f"on the layer's grid, upsampled like a map. {_samples(outcome)}{' Scored in bfloat16.' if case.half else ''}"
    )
    columns = ("layer", "region M", VOXELS, CELLS, GRAD, HIRES, f"{HIRES} − {GRAD}")
    return Table(f"{case.name}: what maps are worth", columns, rows, note)


def everything(case: Case, outcome: Outcome) -> Table:
    """What each method's voxels are worth beyond chance, by layer, for one region."""
    rows = []
    for method in case.methods:
        found = [outcome.difference("drop", layer, ONE, method, CELLS) for layer in case.tested]
        rows.append([method, *(interval(one.estimate, one.low, one.high) for one in found)])
    note = (
        f"The drop minus that of {CELLS}; region: {ONE}. {_samples(outcome)} Methods whose intervals overlap have no "
        "order here. `xgradcam` isn't tested: its weights are those of `respond`, and its map is the positive part. "
        "`eigencam` doesn't know the region."
    )
    return Table(f"{case.name}: all methods against chance", ("method", *case.tested), rows, note)


def emptiness(case: Case, outcome: Outcome) -> Table:
    """How many explanations are empty, over all regions; methods without any aren't listed."""
    rows = []
    for method in METHODS:
        flags = [[flag for region in REGIONS for flag in outcome.empty[layer, region, method]] for layer in case.layers]
        if any(any(some) for some in flags):
            rows.append([method, *(f"{sum(some)} of {len(some)}" for some in flags)])
    note = "Over the four regions. Methods that never give an empty map aren't listed."
    return Table(
        f"{case.name}: empty explanations", ("method", *case.layers), rows or [["none"] * (len(case.layers) + 1)], note
    )


def sweep(case: Case) -> Table:
    """From which depth on a grid is too small for a component or a point: `camfast.layer_sweep` of all depths."""
    rows: dict[str, list[list[float]]] = {}
    sizes = {}
    for sample in range(min(SWEPT, len(case.inputs))):
        inputs = case.inputs[sample : sample + 1]
        with torch.no_grad():
            regions = regions_of(case.network(inputs), case.classes[sample])
        if ONE not in regions:
            continue
        found = camfast.layer_sweep(case.network, inputs, target=regions[ONE], method=HIRES)
        for layer in found.layers:
            sizes[layer.name] = "×".join(str(extent) for extent in layer.grid)
            cells = float(layer.cells) if layer.cells is not None else np.nan
            point = cells / int(regions[ONE].where.sum())
            rows.setdefault(layer.name, []).append([cells, point, float(layer.empty), float(layer.inside)])
    shown = []
    for name, values in rows.items():
        cells, point, empty, inside = np.nanmean(values, axis=0)
        fits = "a point" if point >= 1 else "the component" if np.min(values, axis=0)[0] >= 1 else "neither"
        shown.append([name, sizes[name], f"{cells:.2f}", f"{point:.4f}", f"{100 * empty:.0f} %", f"{inside:.2f}", fits])
    columns = (
        "layer",
        "grid",
        f"cells of the {ONE}",
        "cells of a point",
        f"empty {HIRES}",
        f"inside the {ONE}",
        "shows",
    )
    note = (
        f"`camfast.layer_sweep`, {HIRES}, means over {len(next(iter(rows.values()), []))} samples. What is smaller "
        "than one cell in any sample can't be shown apart from what surrounds it."
    )
    return Table(f"{case.name}: which grids are too small", columns, shown, note)


def one_head(case: Case, outcome: Outcome) -> list[Table]:
    """Share inside and drop for MeshNet: one brain, so figures without intervals."""
    inside, lost = [], []
    for region in REGIONS[1:]:
        for method in METHODS:
            shares = [outcome.inside[layer, region, method][0] for layer in case.layers]
            inside.append([region, method, *("empty" if np.isnan(share) else f"{share:.2g}" for share in shares)])
    for region in case.changed:
        for method in (VOXELS, *case.methods):
            lost.append([region, method, *(f"{outcome.drop[layer, region, method][0]:.2f}" for layer in case.tested)])
    chance = ", ".join(f"{region} {outcome.chance[region][0]:.2g}" for region in REGIONS[1:])
    alone = "One brain, one crop of it: no claim beyond this volume, and no intervals."
    note = (
        f"The {100 * case.part:g} % of voxels where a map is largest replaced by a blur; where a map has fewer "
        "positive values, or none, the rest is drawn at random. Every layer has the input's size: cells are voxels. "
        f"{alone}"
    )
    return [
        Table(f"{case.name}: share of Σ|L| inside M", ("region M", "method", *case.layers), inside,
              f"Chance: {chance}. {alone}"),
        Table(f"{case.name}: drop, logits a voxel of M", ("region M", "method", *case.tested), lost, note),
    ]  # fmt: skip


def figures(case: Case, outcome: Outcome) -> dict[str, Any]:
    """Everything measured, for the JSON file: means over tomograms by layer, region and method, and what differs."""
    means = {
        kind: {" ".join(key): float(_mean(outcome.by_group(found))) for key, found in getattr(outcome, kind).items()}
        for kind in KINDS
    }
    found: dict[str, Any] = {
        "samples": len(outcome.groups), "tomograms": len(set(outcome.groups)), "left_out": outcome.left_out,
        "sigma": case.sigma, "part": case.part, "dice": list(case.dice),
        "chance": {region: float(np.mean(values)) for region, values in outcome.chance.items()}, **means,
    }  # fmt: skip
    if len(set(outcome.groups)) > 1:
        found["hirescam_minus_gradcam"] = {
            kind: {" ".join(place): vars(outcome.difference(kind, *place, HIRES, GRAD)) for place in places(case, kind)}
            for kind in KINDS[:2]
        }
    return found


def places(case: Case, kind: str) -> list[tuple[str, str]]:
    """The layers and regions at which a kind of figure compares methods."""
    layers, regions = (case.tested, case.changed) if kind == "drop" else (case.layers, REGIONS[1:])
    return [(layer, region) for layer in layers for region in regions]


def counted(nets: Sequence[tuple[Case, Outcome]], kind: str, first: str = HIRES, second: str = GRAD) -> str:
    """At how many places one of two methods is above the other by more than the interval."""
    differences = [
        outcome.difference(kind, *place, first, second) for case, outcome in nets for place in places(case, kind)
    ]
    signs = [int(np.sign(found.estimate)) if found.excludes(0) else 0 for found in differences]
    return f"more in {signs.count(1)}, less in {signs.count(-1)}, undecided in {signs.count(0)} of {len(signs)}"


def summary(nets: Sequence[tuple[Case, Outcome]], head: tuple[Case, Outcome]) -> list[str]:
    """What came out, by counts of this run, and the reasons."""
    case, one = head
    above = [
        one.drop[layer, region, HIRES][0] > one.drop[layer, region, GRAD][0] for layer, region in places(case, "drop")
    ]
    empty = {
        found.name: sum(sum(flags) for key, flags in outcome.empty.items() if key[2] == GRAD)
        for found, outcome in (*nets, head)
    }
    beside = {other: counted(nets, "drop", other, HIRES) for other in ("layercam", "extended", "respond")}
    return [
        "**Seg-HiRes-Grad-CAM against Seg-Grad-CAM, two U-Nets.** A place is a layer and a region. The share of a map "
        f"inside the region: {HIRES} has {counted(nets, 'inside')} places. What the region's score loses with the "
        f"voxels that a map names: with {HIRES}'s {counted(nets, 'drop')} places. Both by 95 % intervals over "
        f"tomograms. The reason is in the formulas: {GRAD} averages a gradient over the whole grid, and of one that "
        "comes from a hundredth of it nothing is left that says where; its map lights up wherever the same channels "
        "are active, and where the averages are negative it is empty.",
        f"**What isn't its own.** The drop with other maps, against {HIRES}: "
        + "; ".join(f"{other} {found}" for other, found in beside.items())
        + " places. Other maps that keep gradients in their place do as well or better, or, smoothed, worse. The "
        "places share tomograms and their regions overlap, so that these counts are no independent tests. Empty maps "
        f"of {GRAD}: "
        + ", ".join(f"{name} {count}" for name, count in empty.items())
        + ". Whatever the method, what is smaller than a cell can't be told from its surroundings, and a point is at "
        "any grid that is coarser than the output's (`camfast.layer_sweep`, below). In a U-Net the map of a layer has "
        "one path of several: what the skips carry past the bottleneck isn't in it. The share inside rises towards the "
        "last layer, as less and less lies between, whatever a map is worth.",
        f"**One head.** MeshNet keeps full resolution at every layer. At {sum(above)} of {len(above)} places {HIRES} "
        f"names voxels that are worth more to the region than {GRAD}'s: hardly more where the region is the component, "
        "which fills a third of the crop, and most of all at a point. Lost place is what the two differ by, and a "
        "large region has none to lose. The component was at first the second largest, a strip at the crop's border; "
        f"it was changed to the largest after a look at the picture, before which {HIRES} was ahead at fewer places. "
        "This is one brain, in a crop whose borders are padded with zeros, and nobody's labels to check the network "
        "by: an example, no evidence for other brains.",
    ]


def _mean(values: Any) -> Any:
    return np.nan if np.isnan(values).all() else np.nanmean(values)


def _difference(outcome: Outcome, kind: str, layer: str, region: str, digits: int = 2) -> str:
    found = outcome.difference(kind, layer, region, HIRES, GRAD)
    return interval(found.estimate, found.low, found.high, digits) if found.count else "–"


def _samples(outcome: Outcome) -> str:
    tomograms = len(set(outcome.groups))
    without = f", {outcome.left_out} more left out, in which the class isn't predicted" if outcome.left_out else ""
    return (
        f"Means over {tomograms} tomograms ({len(outcome.groups)} samples{without}); [95 % bootstrap intervals, "
        "paired, over tomograms]."
    )
