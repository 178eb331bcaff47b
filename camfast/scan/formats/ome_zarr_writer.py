"""Writing OME-Zarr 0.5 (Zarr 3): shards in any order, then the coarser levels, then the metadata that shows them."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camfast._extras import require
from camfast._version import __version__
from camfast.errors import InputError
from camfast.provenance import as_json
from camfast.scan.formats.statistics import Statistics
from camfast.scan.formats.writer import Step, has_coarser
from camfast.scan.volumes import Triple, Volume
from camfast.scan.windows.bricks import Slices, blocks_of
from camfast.scan.windows.plan import Shape

CHUNK = 128
SHARD = 2 * CHUNK
LEVELS, _SMALLEST = 3, 256


class ZarrWriter:
    """Volumes (z, y, x), or channels (c, z, y, x), in an OME-Zarr image with coarser levels.

    Chunks have 128³ voxels and shards up to 256³; a shard is the unit that one writer owns. A voxel of a coarser level
    is the mean of the up to 8 below it; there are three levels, or as many as bring the longest axis to 256.

    Parameters
    ----------
    path
        Folder to create.
    like
        The volume whose shape, voxel size and position are kept.
    dtype
        ``"float32"`` or ``"float16"``, or a type of integers for labels.
    channels
        None for one volume with the axes (z, y, x); a number, or names to be shown, for the axes (c, z, y, x).
    side
        Edge of a shard, 128 or 256: less where there is little memory, as a shard is written at once.
    """

    def __init__(
        self,
        path: Path,
        like: Volume,
        dtype: str = "float32",
        channels: int | Sequence[str] | None = None,
        side: int = SHARD,
    ) -> None:
        self.side = side
        self.path, self.like, self.dtype = path, like, np.dtype(dtype)
        self.shape = like.shape
        self.names = [] if channels is None or isinstance(channels, int) else list(channels)
        self.channels = channels if channels is None or isinstance(channels, int) else len(self.names)

    @property
    def block(self) -> Shape:
        """Shape of the pieces that are written at once: a shard."""
        return self._shard(self.shape)

    @property
    def levels(self) -> list[Shape]:
        """Shapes of the levels, the full resolution first."""
        count = LEVELS
        while max(self.shape) / 2 ** (count - 1) > _SMALLEST:
            count += 1
        found = []
        for level in range(count):
            z, y, x = (-(-length // 2**level) for length in self.shape)
            found.append((z, y, x))
        return found

    def create(self) -> None:
        """Make the arrays of all levels, none of their shards written."""
        zarr = require("zarr", "scan", "writing OME-Zarr")
        group = zarr.open_group(str(self.path), mode="w", zarr_format=3)
        leading = () if self.channels is None else (1,)
        for level, shape in enumerate(self.levels):
            chunk, shard = [min(CHUNK, n) for n in shape], self._shard(shape)
            group.create_array(
                name=str(level),
                shape=(*(() if self.channels is None else (self.channels,)), *shape),
                chunks=(*leading, *chunk),
                shards=None if list(shard) == chunk else (*leading, *shard),
                dtype=self.dtype.name,
                dimension_names=["c", "z", "y", "x"][-3 - len(leading) :],
            )

    def is_made(self) -> bool:
        """Whether the metadata of the group and all levels is there."""
        groups = [self.path, *(self.path / str(level) for level in range(len(self.levels)))]
        return all((group / "zarr.json").exists() for group in groups)

    def lacks(self, level: int, channel: int | None, block: Slices) -> bool:
        """Whether a block has no file; Zarr makes none where all is 0."""
        sides = self._shard(self.levels[level])
        index = [axis.start // side for axis, side in zip(block, sides, strict=True)]
        place = index if channel is None else [channel, *index]
        return not self.path.joinpath(str(level), "c", *map(str, place)).exists()

    def write(self, voxels: Slices, values: NDArray[Any], channel: int | None = None) -> Statistics:
        """Write one block, and return what its values are like as they are stored."""
        stored = np.ascontiguousarray(values, self.dtype)
        self._level(0)[self._place(voxels, channel)] = stored
        return Statistics.of(stored)

    def coarser(self) -> list[list[Step]]:
        """What `coarsen` has to be called for, level by level, as each is made of the one below."""
        channels = [None] if self.channels is None else list(range(self.channels))
        return [
            [(level, *one) for one in itertools.product(channels, blocks_of(shape, self._shard(shape)))]
            for level, shape in enumerate(self.levels)
            if level
        ]

    def coarsen(self, level: int, channel: int | None, block: Slices) -> None:
        """Fill one block of a coarser level by means of the level below."""
        fine, coarse = self._level(level - 1), self._level(level)
        sizes = [axis.stop - axis.start for axis in block]
        found = np.empty(sizes, np.float32)
        for inner in blocks_of(sizes, [CHUNK] * 3):
            below = tuple(
                slice(2 * (b.start + i.start), min(2 * (b.start + i.stop), n))
                for b, i, n in zip(block, inner, fine.shape[-3:], strict=True)
            )
            values = torch.from_numpy(np.asarray(fine[self._place(below, channel)], np.float32))
            halves = [min(2, n) for n in values.shape]
            mean = torch.nn.functional.avg_pool3d(values[None], halves, ceil_mode=True, count_include_pad=False)[0]
            found[inner] = mean.numpy()
        coarse[self._place(block, channel)] = found.astype(self.dtype)

    def finish(self, statistics: Sequence[Statistics], attributes: Mapping[str, Any] | None = None) -> None:
        """Write the metadata: where the voxels lie, names and limits of the channels, and how they came about."""
        for stray in self.path.rglob("*.partial"):  # zarr's own, of a process that was killed while it wrote
            stray.unlink()
        zarr = require("zarr", "scan", "writing OME-Zarr")
        multiscale = _multiscale(self.path.stem, self.like, len(self.levels), self.channels is not None)
        ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
        if self.names:
            ome["omero"] = {"channels": [_shown(*one) for one in zip(self.names, statistics, strict=True)]}
        group = zarr.open_group(str(self.path), mode="r+")
        group.attrs.update({"ome": ome, "camfast": {**as_json(attributes or {}), "version": __version__}})

    def _shard(self, shape: Sequence[int]) -> Shape:
        """Whole chunks, as many as an axis needs."""
        z, y, x = (n if n <= CHUNK else self.side for n in shape)
        return z, y, x

    def _level(self, level: int) -> Any:
        return require("zarr", "scan", "writing OME-Zarr").open_array(str(self.path / str(level)), mode="r+")

    def _place(self, voxels: Sequence[slice], channel: int | None) -> tuple[int | slice, ...]:
        return tuple(voxels) if channel is None else (channel, *voxels)


def write_ome_zarr(
    path: Path,
    volumes: Iterable[Any],
    like: Volume,
    *,
    channels: int | Sequence[str] | None = None,
    attributes: Mapping[str, Any] | None = None,
    dtype: str = "float32",
) -> None:
    """Write volumes (z, y, x), taken one at a time: one, or as many as ``channels`` says. See `ZarrWriter`."""
    writer = ZarrWriter(path, like, dtype, channels)
    writer.create()
    blocks = blocks_of(like.shape, writer.block)
    found, stored = [], []
    for channel, volume in enumerate(volumes):
        place = None if writer.channels is None else channel
        seen = [writer.write(block, np.asarray(volume[block]), place) for block in blocks]
        stored += [(0, place, block) for block, one in zip(blocks, seen, strict=True) if not one.low == one.high == 0]
        found.append(Statistics.merged(seen))
    for level in writer.coarser():
        for step in level:
            writer.coarsen(*step)
    writer.finish(found, attributes)
    if not writer.is_made() or any(writer.lacks(*step) for step in stored) or not has_coarser(writer):
        raise InputError(f"{path}: files of it were removed while it was written; write it again")


def _shown(name: str, values: Statistics) -> dict[str, Any]:
    """Name of a channel, and how a viewer is to show it."""
    window = {"min": values.low, "max": values.high, "start": values.low, "end": values.high}
    return {"label": name, "active": True, "color": "FFFFFF", "window": window}


def _multiscale(name: str, like: Volume, levels: int, channels: bool) -> dict[str, Any]:
    known = like.voxel_angstrom is not None
    size: Triple = like.voxel_angstrom or (1.0, 1.0, 1.0)
    unit = {"unit": "angstrom"} if known else {}
    first: list[float] = [1.0] if channels else []
    datasets = []
    for level in range(levels):
        factor = 2**level
        # The centre of the first coarse voxel lies (factor − 1)/2 fine voxels behind that of the first fine one.
        shift = [o + (factor - 1) / 2 * s for o, s in zip(like.translation, size, strict=True)]
        datasets.append(
            {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [*first, *(factor * s for s in size)]},
                    {"type": "translation", "translation": [*(0.0 for _ in first), *shift]},
                ],
            }
        )
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}] if channels else []
    axes += [{"name": axis, "type": "space", **unit} for axis in "zyx"]
    return {"name": name, "axes": axes, "datasets": datasets, "type": "mean"}
