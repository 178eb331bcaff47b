"""Explaining a segmenter region by region: every method at several depths, and what its maps are worth."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from tqdm import tqdm

import camfast
from camfast import metrics
from camfast.mapping import Recipe
from camfast.methods import get
from camfast.metrics.intervals import Interval
from camfast.ops import FusedCam
from camfast.upsample import Upsampling

METHODS = tuple(name for name in camfast.methods() if name != "cam")
"""All but `cam`, which wants a linear layer behind global average pooling."""
REGIONS = ("image", "predicted", "component", "point")
GRAD, HIRES = "gradcam", "hirescam"
VOXELS, CELLS = "random voxels", "random cells"
DRAWS = 3


@dataclass(frozen=True)
class Case:
    """A segmenter with what it is explained on.

    Attributes
    ----------
    name : str
        For people.
    network : Module
        (N, 1, *S) -> (N, C, *S).
    inputs : Tensor
        (N, 1, *S).
    classes : sequence of int
        The class that is explained in each sample.
    groups : sequence of int
        The tomogram that each sample is from: intervals are over these.
    layers : sequence of str
        From the input to the output.
    sigma : dict
        σ of `extended` in pixels, by layer.
    tested, changed, methods : sequence of str
        The layers, regions and methods that are put to the test of replacement.
    part : float
        How much of the input is replaced.
    batch : int
        Changed inputs that go through the network at once.
    half : bool
        Whether they do so in bfloat16.
    dice : sequence of float
        Of each class, over the test tomograms.
    """

    name: str
    network: nn.Module
    inputs: Tensor
    classes: Sequence[int]
    groups: Sequence[int]
    layers: Sequence[str]
    sigma: dict[str, tuple[float, ...]]
    tested: Sequence[str]
    changed: Sequence[str] = REGIONS
    methods: Sequence[str] = METHODS
    part: float = 0.02
    batch: int = 16
    half: bool = False
    dice: Sequence[float] = ()

    def recipe(self, method: str, layer: str) -> Recipe:
        """How a method's map is made, by its own defaults."""
        form = get(method)
        sigma = self.sigma[layer] if form.upsample == "gaussian" else None
        return Recipe(method, form.relu, Upsampling(form.upsample, sigma))


Key = tuple[str, str, str]
"""Layer, region, method."""


@dataclass(frozen=True)
class Heat:
    """The map of one method for one region at one layer."""

    layer: str
    region: str
    method: str
    parts: FusedCam

    @property
    def key(self) -> Key:
        """What an `Outcome` keeps it by."""
        return self.layer, self.region, self.method


@dataclass
class Outcome:
    """What one case gives: one number a sample in each list, in the order of the samples that have the regions."""

    groups: list[int] = field(default_factory=list)
    inside: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    drop: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    empty: dict[Key, list[bool]] = field(default_factory=lambda: defaultdict(list))
    chance: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    left_out: int = 0

    def add(self, heats: Sequence[Heat], region: camfast.Region) -> None:
        """Keep where maps of a region are."""
        for heat in heats:
            self.empty[heat.key].append(not heat.parts.grid.any())
            self.inside[heat.key].append(float(metrics.share_inside(heat.parts.maps, region.where).share))

    def by_group(self, values: Sequence[float]) -> np.ndarray:
        """Means over the samples of each group, which stand together, NaN left out."""
        groups, array = np.asarray(self.groups), np.asarray(values, np.float64)
        means = []
        for group in np.unique(groups):
            defined = array[(groups == group) & ~np.isnan(array)]
            means.append(defined.mean() if len(defined) else np.nan)
        return np.asarray(means)

    def difference(self, kind: str, layer: str, region: str, first: str, second: str) -> Interval:
        """The first method minus the second, with its interval over groups."""
        values: dict[Key, list[float]] = getattr(self, kind)
        a, b = (self.by_group(values[layer, region, method]) for method in (first, second))
        return metrics.paired_bootstrap(a, b)

    def mean(self, kind: str, layer: str, region: str, method: str) -> float:
        """Mean over groups; NaN where there is none."""
        means = self.by_group(getattr(self, kind)[layer, region, method])
        return float(np.nanmean(means)) if not np.isnan(means).all() else np.nan


def regions_of(scores: Tensor, class_index: int) -> dict[str, camfast.Region]:
    """The four regions of a class in one output (1, C, *S), by name; only the image where it isn't predicted.

    The component is the largest, and the point the voxel deepest inside of it.
    """
    found = {name: camfast.Region(class_index, name).mask(scores) for name in ("image", "predicted")}
    try:
        found["component"] = camfast.Region(class_index, camfast.component(0)).mask(scores)
    except ValueError:
        return {"image": camfast.Region(class_index, found["image"])}
    depth = ndimage.distance_transform_edt(np.pad(found["component"][0].numpy(), 1))[
        (slice(1, -1),) * (scores.ndim - 2)
    ]
    point = np.unravel_index(depth.argmax(), depth.shape)
    found["point"] = torch.zeros_like(found["image"])
    found["point"][(0, *point)] = True
    return {name: camfast.Region(class_index, mask) for name, mask in found.items()}


def explain(case: Case, sample: int, regions: Sequence[str] = REGIONS) -> Iterator[tuple[camfast.Region, list[Heat]]]:
    """Every method's maps of one sample, region by region and layer by layer, from one pass and one gradient each.

    Yields
    ------
    Region, list of Heat
        One layer's maps for a region, one a method; nothing where the class isn't predicted.
    """
    inputs = case.inputs[sample : sample + 1]
    with ExitStack() as stack:
        captured = [stack.enter_context(camfast.capture(case.network, layer, copy=False)) for layer in case.layers]
        scores = case.network(inputs)
    activations = [layer.activations for layer in captured]
    found = regions_of(scores.detach(), case.classes[sample])
    if len(found) < len(REGIONS):
        return
    for name in regions:
        gradients = torch.autograd.grad(found[name].total(scores).sum(), activations, retain_graph=True)
        for layer, A, G in zip(case.layers, activations, gradients, strict=True):
            made = {method: _made(case.recipe(method, layer), A.detach(), G, inputs.shape[2:]) for method in METHODS}
            yield found[name], [Heat(layer, name, method, parts) for method, parts in made.items()]


def _made(recipe: Recipe, A: Tensor, G: Tensor, size: Sequence[int]) -> FusedCam:
    return recipe.of_activations(A, size, None) if recipe.method == "eigencam" else recipe.of_gradients(A, G, size)


def measure(case: Case) -> Outcome:
    """Where the maps of every sample are, and what the region loses where they say that it matters."""
    outcome = Outcome()
    for sample in tqdm(range(len(case.inputs)), desc=case.name, disable=None):
        chance: dict[str, float] = {}  # of single voxels, which is the same for every layer
        for region, heats in explain(case, sample):
            layer, name = heats[0].layer, heats[0].region
            if layer == case.layers[0]:
                outcome.chance[name].append(float(region.where.double().mean()))
            outcome.add(heats, region)
            if name in case.changed and layer in case.tested:
                maps = {heat.method: heat.parts.maps for heat in heats if heat.method in case.methods}
                if name not in chance:
                    chance[name] = lost(case, sample, region, {GRAD: maps[GRAD]}, None)[VOXELS]
                found = lost(case, sample, region, maps, heats[0].parts.grid.shape[1:])
                for method, value in {**found, VOXELS: chance[name]}.items():
                    outcome.drop[layer, name, method].append(value)
        if outcome.chance["image"][len(outcome.groups) :]:
            outcome.groups.append(case.groups[sample])
        else:
            outcome.left_out += 1
    return outcome


def lost(
    case: Case, sample: int, region: camfast.Region, maps: dict[str, Tensor], cells: Sequence[int] | None
) -> dict[str, float]:
    """What a region's score loses, a voxel of it, with the largest voxels of each map and with random ones."""
    inputs = case.inputs[sample : sample + 1]
    stacked = torch.cat(list(maps.values()))[None]
    draws = 0 if cells is not None and tuple(cells) == tuple(inputs.shape[2:]) else DRAWS  # those cells are voxels
    with torch.autocast("cpu", torch.bfloat16, enabled=case.half):
        found = metrics.region_drop(
            case.network, inputs, region, stacked, share=case.part, baseline="blur", draws=draws, cells=cells,
            batch=case.batch, seed=sample,
        )  # fmt: skip
    voxels = int(region.where.sum())
    by_map = dict(zip(maps, (found.drop[0] / voxels).tolist(), strict=True))
    at_random = {VOXELS if cells is None else CELLS: float(found.random_drop) / voxels} if draws else {}
    return at_random | by_map
