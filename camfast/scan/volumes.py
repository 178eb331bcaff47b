"""A volume as everything here sees it: axes (z, y, x), lengths in ångström."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.scan.unchanged import State

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
PIECE = 1 << 19  # voxels whose deviations are held in float64: 4 MB


@dataclass(frozen=True, eq=False, slots=True)
class Volume:
    """A density on a regular grid, with where it lies in space.

    Every triple is ordered (z, y, x), as the data is.

    Parameters
    ----------
    data
        Real numbers, (z, y, x): an array, or anything with a ``shape`` and ``dtype`` that gives one when it is sliced,
        as a memory map, a Zarr array, or what `read_volume` makes of a file.
    voxel_angstrom
        Edge lengths of a voxel in ångström, None where the file does not say.
    origin
        Position of the first voxel in ångström.
    start
        Index of the first voxel in the unit cell (``nstart`` of MRC), in voxels.
    path
        The file it came from.
    tomogram
        What a list calls it, such as RELION's ``rlnTomoName``; None: as its file.
    state
        What the file was known by before it was opened, for it to be noticed where it changes.
    """

    data: Any
    voxel_angstrom: Triple | None = None
    origin: Triple = (0.0, 0.0, 0.0)
    start: tuple[int, int, int] = (0, 0, 0)
    path: Path | None = None
    tomogram: str | None = None
    state: State | None = None

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
    check_axes(volume.name, shape)
    if 0 in shape:
        raise InputError(f"{volume.name}: empty, its shape is {shape}; give a volume that holds voxels")
    if dtype.kind not in "fiub":
        raise InputError(
            f"{volume.name}: holds values of type {dtype}, expected real numbers; "
            "give the density itself, for example the real part of a complex volume"
        )
    return volume


def check_axes(name: str, shape: Sequence[int]) -> None:
    """Make sure that a shape has three axes.

    Raises
    ------
    InputError
        If it has another number of axes; the message calls the volume ``name``.
    """
    if len(shape) != 3:
        raise InputError(
            f"{name}: found {len(shape)} axes {tuple(shape)}, expected a volume (z, y, x); "
            "give one 3-D volume, without channel, time or batch axes"
        )


def walk(data: Any, voxels: int = 1 << 22) -> Iterator[tuple[slice, slice, slice]]:
    """Cut a volume into boxes, to read each voxel once where it does not fit memory.

    A box holds whole chunks of ``data.chunks``, whole rows where there is none, and as many, along x, then y, then z,
    as have about so many voxels: whole sections where they fit.

    Examples
    --------
    >>> len(list(walk(np.zeros((100, 200, 300))))), len(list(walk(np.zeros((3, 20, 30)), voxels=300)))
    (2, 6)
    """
    shape = tuple(int(length) for length in data.shape)
    box = [min(size, length) for size, length in zip(getattr(data, "chunks", (1, 1, shape[2])), shape, strict=True)]
    for axis in (2, 1, 0):
        size = box[axis]
        fits = voxels * size // math.prod(box)  # voxels along the axis, of the others as they are
        box[axis] = min(shape[axis], max(size, fits // size * size))
    starts = (range(0, length, step) for length, step in zip(shape, box, strict=True))
    for first in itertools.product(*starts):
        z, y, x = (slice(f, min(f + step, length)) for f, step, length in zip(first, box, shape, strict=True))
        yield z, y, x


def statistics(volume: Volume) -> tuple[float, float]:
    """Mean and standard deviation of a volume, in float64, each voxel read once, box by box.

    Mean and squared deviations of each piece are found in two passes over the piece in memory, and merged in the order
    of the boxes [1]_. All values are taken less the first one, so nothing is lost where the mean is large, and a
    constant volume has a deviation of exactly 0. The same volume gives the same bits.

    Raises
    ------
    InputError
        If a voxel is NaN or infinite: the message names the first one that is met.

    References
    ----------
    .. [1] Chan, Golub, LeVeque. Updating Formulae and a Pairwise Algorithm for Computing Sample Variances. COMPSTAT,
       1982.
    """
    count, base, mean, squares = 0, 0.0, 0.0, 0.0
    for box in walk(volume.data):
        part = np.asarray(volume.data[box])
        check_finite(volume, part, box)
        values = part.ravel(order="K")  # as they lie in memory: no copy of a volume whose axes were permuted
        base = base if count else float(values[0])
        for first in range(0, values.size, PIECE):
            piece = values[first : first + PIECE].astype(np.float64)
            piece -= base
            own = float(piece.mean())
            np.square(np.subtract(piece, own, out=piece), out=piece)
            total, shift = count + piece.size, own - mean
            squares += float(piece.sum()) + shift * shift * (count * (piece.size / total))
            mean += shift * (piece.size / total)
            count = total
    return base + mean, math.sqrt(squares / count)


def check_finite(volume: Volume, part: NDArray[Any], box: Sequence[slice]) -> None:
    """Make sure that a part of a volume, which was read from a box, holds no NaN and nothing infinite.

    Raises
    ------
    InputError
        If it does: the message names the first such voxel.
    """
    finite = np.isfinite(part)
    if not finite.all():
        inside = np.unravel_index(int(np.argmin(finite)), part.shape)
        z, y, x = (span.start + int(index) for span, index in zip(box, inside, strict=True))
        raise InputError(
            f"{volume.name}: voxel (z, y, x) = ({z}, {y}, {x}) is {part[inside]}, "
            "expected finite numbers; replace such voxels, for example by the mean"
        )


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


def known_origin(lengths: Sequence[float]) -> Triple:
    """Return a position (z, y, x); 0 where one of its lengths is no finite number, which is no position."""
    z, y, x = (float(length) for length in lengths)
    return (z, y, x) if all(np.isfinite((z, y, x))) else (0.0, 0.0, 0.0)


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
