"""A volume as everything here sees it: axes (z, y, x), lengths in ångström."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from camfast.errors import InputError

Triple = tuple[float, float, float]

ANGSTROM_PER_UNIT = {
    **dict.fromkeys(("å", "a", "angstrom"), 1.0),
    **dict.fromkeys(("nm", "nanometer"), 10.0),
    **dict.fromkeys(("um", "µm", "\\u00b5m", "micron", "micrometer"), 1e4),
    **dict.fromkeys(("mm", "millimeter"), 1e7),
    **dict.fromkeys(("m", "meter"), 1e10),
}
AXIS_TOLERANCE = 0.01
MODEL_TOLERANCE = 0.10


@dataclass(frozen=True, eq=False, slots=True)
class Volume:
    """A density on a regular grid, with where it lies in space.

    Every triple is ordered (z, y, x), as the data is.

    Parameters
    ----------
    data
        Real numbers, (z, y, x): an array, a memory map or a Zarr array, sliced when it is needed.
    voxel_angstrom
        Edge lengths of a voxel in ångström, None where the file does not say.
    origin
        Position of the first voxel in ångström.
    start
        Index of the first voxel in the unit cell (``nstart`` of MRC), in voxels.
    path
        The file it came from.
    """

    data: Any
    voxel_angstrom: Triple | None = None
    origin: Triple = (0.0, 0.0, 0.0)
    start: tuple[int, int, int] = (0, 0, 0)
    path: Path | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of voxels along (z, y, x)."""
        depth, height, width = self.data.shape
        return int(depth), int(height), int(width)

    @property
    def name(self) -> str:
        """What to call it in a message."""
        return "the volume" if self.path is None else str(self.path)

    @property
    def translation(self) -> Triple:
        """Position of the first voxel in ångström: the origin, or where that is 0 the start times the voxel size."""
        if any(self.origin) or self.voxel_angstrom is None:
            return self.origin
        z, y, x = (index * size for index, size in zip(self.start, self.voxel_angstrom, strict=True))
        return z, y, x


def volume_of(array: Any) -> Volume:
    """Take an array or tensor (z, y, x) as a volume of unknown voxel size.

    Raises
    ------
    InputError
        If it has another number of axes, no voxels, or values that are not real numbers.
    """
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu()
        array = array.float().numpy() if array.is_floating_point() else array.numpy()
    return checked(Volume(np.asarray(array)))


def checked(volume: Volume) -> Volume:
    """Return the volume if it is a stack of real numbers with three axes; never reads its values.

    Raises
    ------
    InputError
        If it has another number of axes, no voxels, or values that are not real numbers.
    """
    shape, dtype = tuple(volume.data.shape), np.dtype(volume.data.dtype)
    if len(shape) != 3:
        raise InputError(
            f"{volume.name}: found {len(shape)} axes {shape}, expected a volume (z, y, x); "
            "give one 3-D volume, without channel, time or batch axes"
        )
    if 0 in shape:
        raise InputError(f"{volume.name}: empty, its shape is {shape}; give a volume that holds voxels")
    if dtype.kind not in "fiub":
        raise InputError(
            f"{volume.name}: holds values of type {dtype}, expected real numbers; "
            "give the density itself, for example the real part of a complex volume"
        )
    return volume


def slabs(shape: Sequence[int], voxels: int = 1 << 22) -> list[slice]:
    """Cut the first axis into slices of about so many voxels, to walk through a volume that does not fit memory."""
    depth, plane = int(shape[0]), int(np.prod(shape[1:]))
    step = max(1, voxels // max(1, plane))
    return [slice(first, min(first + step, depth)) for first in range(0, depth, step)]


def statistics(volume: Volume) -> tuple[float, float]:
    """Mean and standard deviation of a volume, in float64, read slab by slab.

    Raises
    ------
    InputError
        If a voxel is NaN or infinite: the message names the first one.
    """
    total = 0.0
    for slab in slabs(volume.shape):
        part = np.asarray(volume.data[slab])
        finite = np.isfinite(part)
        if not finite.all():
            z, y, x = (int(i) for i in np.argwhere(~finite)[0])
            raise InputError(
                f"{volume.name}: voxel (z, y, x) = ({slab.start + z}, {y}, {x}) is {part[z, y, x]}, "
                "expected finite numbers; replace such voxels, for example by the mean"
            )
        total += float(part.sum(dtype=np.float64))
    count = int(np.prod(volume.shape))
    mean = total / count
    squares = sum(
        float(np.square(np.asarray(volume.data[slab], dtype=np.float64) - mean).sum()) for slab in slabs(volume.shape)
    )
    return mean, float(np.sqrt(squares / count))


def angstrom_per(unit: object) -> float:
    """Ångström in a unit of length, as files spell it; 0 where the unit is missing or unknown."""
    return ANGSTROM_PER_UNIT.get(str(unit).strip().lower(), 0.0)


def known_voxel_size(sizes: Sequence[float]) -> Triple | None:
    """Return the voxel size (z, y, x) in ångström; None for a placeholder, which is 0, or 1.0 on each axis."""
    # Headers hold float32, which is good for seven digits; more would print 10.52 as 10.5199995.
    z, y, x = (float(f"{float(size):.7g}") for size in sizes)
    if not all(np.isfinite(size) and size > 0 for size in (z, y, x)) or z == y == x == 1.0:
        return None
    return z, y, x


def check_voxel_size(volume: Volume, model_angstrom: float | None) -> None:
    """Make sure that a volume has the voxel size a model was trained for.

    Axes may differ from their mean by 1 %, their mean from the model's voxel size by 10 %. Without a voxel size of
    the model there is nothing to compare.

    Raises
    ------
    InputError
        If the volume's voxel size is unknown, differs between axes, or is not the model's.
    """
    if model_angstrom is None:
        return
    if volume.voxel_angstrom is None:
        raise InputError(
            f"{volume.name}: its header gives no voxel size (0 or 1.0 means unknown), and the model expects "
            f"{model_angstrom:g} Å; say the voxel size with --apix"
        )
    sizes = volume.voxel_angstrom
    mean = sum(sizes) / 3
    if max(abs(size - mean) for size in sizes) > AXIS_TOLERANCE * mean:
        raise InputError(
            f"{volume.name}: voxels of {sizes[0]:g} × {sizes[1]:g} × {sizes[2]:g} Å (z, y, x), and the model expects "
            f"cubes of {model_angstrom:g} Å; resample the volume, or correct a wrong header with --apix"
        )
    if abs(mean - model_angstrom) > MODEL_TOLERANCE * model_angstrom:
        raise InputError(
            f"{volume.name}: voxel size {mean:.4g} Å, and the model expects {model_angstrom:g} Å; resample the volume, "
            "or correct a wrong value with --apix (the volume's) or --model-apix (the model's)"
        )
