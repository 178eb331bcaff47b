"""What a person asks of a scan, checked and planned before anything long begins."""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camfast.centres import receptive_field_centres
from camfast.errors import CaptureError, IllConditionedWarning, InputError
from camfast.provenance import as_json, provenance
from camfast.scan.files import read_volume
from camfast.scan.formats.chunked import ChunkedArray
from camfast.scan.masking import chosen_windows
from camfast.scan.picking.picks import default_distance
from camfast.scan.tasks.assembly import Upsampler
from camfast.scan.unchanged import Unchanged
from camfast.scan.volumes import Volume
from camfast.scan.windows.bricks import Brick, bricks_of
from camfast.scan.windows.density import Density, Normalize
from camfast.scan.windows.difference import drawn
from camfast.scan.windows.exact import Exact, Explained, first_window
from camfast.scan.windows.lattice import Lattice, lattice_of
from camfast.scan.windows.plan import BLENDS, Blend, Plan, plan_windows
from camfast.scan.windows.segmenting import Blocks
from camfast.scan.windows.shared import Shared
from camfast.scan.windows.sizes import Sizes, budget, bytes_of, choose

if TYPE_CHECKING:
    from camfast.engine import Explainer

Trunk = Literal["exact", "shared"]
PickBy = Literal["window", "map"]
Also = Literal["scores", "labels", "picks", "report"]
_CHUNKS = 0.15  # share of the memory for unpacked chunks of the volume
TRUNKS, ALSO, DTYPES = ("exact", "shared"), ("scores", "labels", "picks", "report"), ("float32", "float16")
_NO_MATTER = ("volume", "explainer", "window", "stride", "target", "mask", "max_memory")  # or noted otherwise
PICKS_BY = ("window", "map")


@dataclass(frozen=True, eq=False)
class Asked:
    """The arguments of `camfast.scan`, all that a result depends on."""

    volume: Any
    explainer: "Explainer"
    window: int | Sequence[int]
    stride: int | Sequence[int]
    target: Any
    trunk: Trunk = "exact"
    blend: Blend = "center"
    normalize: Normalize = "volume"
    invert: bool = False
    mask: Any = None
    batch: int | Literal["auto"] = "auto"
    max_memory: int | str | None = None
    also: tuple[Also, ...] = ()
    pick_distance: float | None = None
    pick_by: PickBy = "window"
    dtype: Literal["float32", "float16"] = "float32"
    labels: Sequence[str] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, known in (
            ("trunk", self.trunk, TRUNKS), ("blend", self.blend, BLENDS), ("dtype", self.dtype, DTYPES),
            ("pick_by", self.pick_by, PICKS_BY),
            *(("also", one, ALSO) for one in self.also),
        ):  # fmt: skip
            if value not in known:
                raise InputError(f"{name} is {value!r}, expected one of {', '.join(known)}")
        if self.batch != "auto" and (not isinstance(self.batch, int) or self.batch < 1):
            raise InputError(f"batch is {self.batch!r}, expected a positive whole number or 'auto'")
        if self.pick_distance is not None and not self.pick_distance > 0:
            raise InputError(f"pick_distance is {self.pick_distance!r}, expected a positive number of voxels")
        if self.pick_by == "map" and isinstance(self.target, str) and self.target == "predicted":
            raise InputError(
                "pick_by='map' needs classes as targets: in a map of each window's own class only the windows say "
                "which class a place is of"
            )
        if isinstance(self.explainer.layer, tuple):
            raise InputError(
                f"the explainer has {len(self.explainer.layer)} layers, and a scan takes one; name one layer"
            )
        if isinstance(self.target, Tensor):
            raise InputError("target is a tensor, and a scan has no samples to match it; give a class or 'predicted'")


@dataclass(frozen=True, eq=False)
class Planned:
    """A scan before its volume's values are looked at.

    Parameters
    ----------
    asked
        What was asked for.
    source
        The volume.
    lattice
        Where windows and their cells lie.
    chosen
        Windows that the mask leaves, bool (nz, ny, nx); None: all.
    first
        What one window of noise gave.
    watched
        The file of the volume, which has to stay as it is.
    """

    asked: Asked
    source: Volume
    lattice: Lattice
    chosen: NDArray[np.bool_] | None
    first: Explained
    watched: Unchanged | None

    @property
    def plan(self) -> Plan:
        """Where the windows lie."""
        return self.lattice.plan

    @property
    def targets(self) -> int | None:
        """How many maps there are, None for one without an axis of targets."""
        return self.first.grids.shape[1] if self.first.grids.ndim == 5 else None

    @property
    def segments(self) -> bool:
        """Whether the network gives a score for every class and voxel."""
        return self.first.places == self.plan.window

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """How the maps come about, with the model's fingerprint, which takes a while."""
        return provenance(self.asked.explainer, self.asked.target)

    @property
    def blend(self) -> Blend:
        """How maps that overlap are added up: not at all where the inner parts of blocks lie side by side."""
        return "center" if self.asked.trunk == "shared" and self.segments else self.asked.blend

    @property
    def distance(self) -> float:
        """Least distance of two picks in voxels."""
        return self.asked.pick_distance or default_distance(self.plan)

    @property
    def upsampler(self) -> Upsampler:
        """From the blended grid to voxels, on the CPU: it is done once, and beside the network's work."""
        explainer = self.asked.explainer
        return Upsampler(self.lattice, explainer.upsampling, torch.device("cpu"), None)


def planned(asked: Asked) -> Planned:
    """Plan the windows, and explain one of noise, so that what was chosen wrongly shows at once.

    Raises
    ------
    InputError
        If volume, mask, network, layer, target, window and stride do not fit each other.
    """
    source = read_volume(asked.volume)
    watched = Unchanged.of(source)
    plan = plan_windows(source.shape, asked.window, asked.stride)
    # any values do where only shapes are looked at
    nothing = Volume(np.array([0.0, 1.0], np.float32).reshape(2, 1, 1))
    first = first_window(Exact(asked.explainer, Density(nothing, None), plan, asked.target), plan)
    lattice = lattice_of(plan, first.grids.shape[-3:], _centres(asked.explainer, plan))
    chosen = None if asked.mask is None else chosen_windows(asked.mask, source, plan)
    return Planned(asked, source, lattice, chosen, first, watched)


def _centres(explainer: "Explainer", plan: Plan) -> tuple[tuple[float, float], ...] | None:
    """Where the layer's cells lie in a window; None where they cannot be followed."""
    parameter = next((p for p in explainer.model.parameters() if p.is_floating_point()), torch.zeros(()))
    noise = torch.zeros(1, 1, *plan.window, device=parameter.device, dtype=parameter.dtype)
    assert isinstance(explainer.layer, str)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IllConditionedWarning)
            return receptive_field_centres(explainer.model, explainer.layer, noise)
    except CaptureError:
        return None


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scan that is ready to run.

    Parameters
    ----------
    trunk
        Where explained windows come from.
    sizes
        How much is done at a time.
    bricks
        The windows, in the pieces that are computed together.
    """

    trunk: Exact | Shared
    sizes: Sizes
    bricks: list[Brick]


def prepared(plan: Planned, choices: dict[str, Any]) -> Prepared:
    """Look at the volume's values, and choose how much is done at a time, unless that was chosen before.

    Parameters
    ----------
    plan
        The scan.
    choices
        What an interrupted scan chose; filled in place where it is empty.

    Raises
    ------
    InputError
        If values are not finite, the trunk cannot be shared, or memory does not suffice.
    """
    asked = plan.asked
    density = Density(plan.source, asked.normalize, invert=asked.invert)
    trunk = trunk_of(plan, density)
    if "sizes" not in choices:
        limit = bytes_of(asked.max_memory)
        batch = None if asked.batch == "auto" else int(asked.batch)
        choices["sizes"] = asdict(choose(trunk, plan.lattice, plan.first, batch, budget(limit), limit))
    if asked.max_memory is not None and isinstance(plan.source.data, ChunkedArray):
        keep = int(_CHUNKS * budget(bytes_of(asked.max_memory)))
        plan.source.data.budget = min(plan.source.data.budget, keep)
    sizes = Sizes(**choices["sizes"])
    if isinstance(trunk, Shared):
        trunk.tile = sizes.tile
    return Prepared(trunk, sizes, bricks_of(plan.lattice, sizes.brick))


def trunk_of(plan: Planned, density: Density) -> Exact | Shared:
    """Make the trunk that was asked for.

    Raises
    ------
    InputError
        If it cannot be shared.
    """
    asked = plan.asked
    if asked.trunk == "exact":
        return Exact(asked.explainer, density, plan.plan, asked.target)
    if plan.segments:
        return Blocks(asked.explainer, density, plan.lattice, asked.target)
    if plan.first.places:
        size, window = (" × ".join(map(str, shape)) for shape in (plan.first.places, plan.plan.window))
        raise InputError(
            f"trunk='shared' cannot be used: the network gives scores of {size} places for a window of {window} "
            "voxels, neither one nor one a voxel; use trunk='exact'"
        )
    return Shared(asked.explainer, density, plan.lattice, asked.target, drawn(plan.plan.counts, plan.chosen))


def identity(plan: Planned) -> dict[str, Any]:
    """What a scan is, for whoever goes on with it: two of the same identity give the same result.

    Raises
    ------
    InputError
        If the model's tensors hold no values.
    """
    asked = plan.asked
    same = [one.name for one in fields(asked) if one.name not in _NO_MATTER]
    chosen = None if plan.chosen is None else hashlib.sha256(np.packbits(plan.chosen).data).hexdigest()
    return {
        "volume": _volume_identity(plan.source, plan.watched),
        "window": list(plan.plan.window),
        "stride": list(plan.plan.stride),
        "mask": chosen,
        **{name: as_json(getattr(asked, name)) for name in same},
        **plan.provenance,
        "device": next((p.device.type for p in asked.explainer.model.parameters()), "cpu"),
    }


def _volume_identity(volume: Volume, watched: Unchanged | None) -> dict[str, Any]:
    found: dict[str, Any] = {"shape": list(volume.shape), "voxel_angstrom": as_json(volume.voxel_angstrom)}
    if watched is not None:
        known = {name: value for name, value in asdict(watched.state).items() if value is not None}
        return {**found, "path": str(watched.path.resolve()), **known}
    digest = hashlib.sha256()
    for plane in range(volume.shape[0]):
        digest.update(np.ascontiguousarray(volume.data[plane : plane + 1]).data)
    return {**found, "sha256": digest.hexdigest()}
