"""Writing OME-Zarr 0.5 (Zarr 3) with a pyramid."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from camfast._extras import require
from camfast._version import __version__
from camfast.scan.volumes import Triple, Volume

CHUNK = 128
LEVELS = 3


def write_ome_zarr(
    path: Path,
    volumes: Iterable[Any],
    like: Volume,
    *,
    channels: int | Sequence[str] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write volumes (z, y, x) as float32 OME-Zarr 0.5 in chunks of 128³, with levels at half and quarter resolution.

    A voxel of a coarser level is the mean of the up to 8 below it.

    Parameters
    ----------
    path
        Folder to create.
    volumes
        The volumes of the shape of ``like``, taken one at a time: one, or as many as ``channels`` says.
    like
        The volume whose voxel size and position are kept.
    channels
        None for one volume with the axes (z, y, x); a number, or names to be shown, for the axes (c, z, y, x).
    attributes
        Put beside the OME metadata under the name ``camfast``, with the version of camfast.
    """
    zarr = require("zarr", "scan", "writing OME-Zarr")
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    names = [] if channels is None or isinstance(channels, int) else list(channels)
    leading = () if channels is None else (channels if isinstance(channels, int) else len(names),)
    limits = []
    shapes = [[-(-length // 2**level) for length in like.shape] for level in range(LEVELS)]
    arrays = [
        group.create_array(
            name=str(level),
            shape=(*leading, *shape),
            chunks=(*(1 for _ in leading), *(min(CHUNK, length) for length in shape)),
            dtype="float32",
            dimension_names=["c", "z", "y", "x"][-3 - len(leading) :],
        )
        for level, shape in enumerate(shapes)
    ]
    for channel, volume in enumerate(volumes):
        level = torch.as_tensor(np.asarray(volume, dtype=np.float32))
        limits.append((float(level.min()), float(level.max())))
        for array in arrays:
            array[(channel, ...) if leading else ...] = level.numpy()
            halves = [min(2, length) for length in level.shape]
            level = torch.nn.functional.avg_pool3d(level[None], halves, ceil_mode=True, count_include_pad=False)[0]
    multiscale = _multiscale(path.stem, like, len(arrays), bool(leading))
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
    if names:
        ome["omero"] = {"channels": [_shown(*one) for one in zip(names, limits, strict=True)]}
    group.attrs.update({"ome": ome, "camfast": {**(attributes or {}), "version": __version__}})


def _shown(name: str, limits: tuple[float, float]) -> dict[str, Any]:
    """Name of a channel, and how a viewer is to show it."""
    low, high = limits
    window = {"min": low, "max": high, "start": low, "end": high}
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
