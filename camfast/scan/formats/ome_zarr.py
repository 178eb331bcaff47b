"""OME-Zarr: versions 0.4 (Zarr 2) and 0.5 (Zarr 3) are read at full resolution, 0.5 is written with a pyramid."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camfast._extras import require
from camfast._version import __version__
from camfast.errors import InputError
from camfast.scan.volumes import Triple, Volume, angstrom_per, checked, known_voxel_size

CHUNK = 128
LEVELS = 3


def read_ome_zarr(path: Path) -> Volume:
    """Read level 0 of an OME-Zarr image, or a plain Zarr array with three axes.

    Leading axes (time, channel) of length 1 are dropped. Scale and translation are taken where the axes have a unit
    of length.

    Raises
    ------
    InputError
        If the store is damaged, holds no image, or several channels or times.
    """
    zarr = require("zarr", "scan", "reading OME-Zarr")
    try:
        node = zarr.open(str(path), mode="r")
        if not isinstance(node, zarr.Group):
            return checked(Volume(node, path=path))
        attributes = dict(node.attrs)
        image = attributes.get("ome", attributes)["multiscales"][0]
        array = node[image["datasets"][0]["path"]]
        axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in image["axes"]]
    except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
        raise InputError(
            f"{path}: no OME-Zarr image ({type(error).__name__}: {error}); give a store of version 0.4 or 0.5 "
            "whose metadata lists multiscales"
        ) from None
    names = [str(axis["name"]).lower() for axis in axes]
    if not {"z", "y", "x"} <= set(names) or len(names) != len(array.shape):
        raise InputError(f"{path}: the image has the axes {names} and shape {array.shape}, expected z, y and x")
    for name, length in zip(names, array.shape, strict=True):
        if name not in "zyx" and length != 1:
            raise InputError(f"{path}: {length} entries along the axis {name!r}, expected one volume; split it first")
    order = [names.index(name) for name in "zyx"]
    data = array if names == ["z", "y", "x"] else _zyx(np.asarray(array[...]), order)
    scale, translation = _placement(image, names)
    units = [angstrom_per(axes[index].get("unit")) for index in order]
    sizes = [scale[index] * unit for index, unit in zip(order, units, strict=True)]
    z, y, x = (translation[index] * unit for index, unit in zip(order, units, strict=True))
    return checked(Volume(data, known_voxel_size(sizes), (z, y, x), path=path))


def _zyx(data: NDArray[Any], order: Sequence[int]) -> NDArray[Any]:
    others = [index for index in range(data.ndim) if index not in order]
    return data.transpose([*others, *order]).reshape([data.shape[index] for index in order])


def _placement(image: Mapping[str, Any], names: Sequence[str]) -> tuple[list[float], list[float]]:
    """Scale and translation of level 0: its own transformations, then those of all levels."""
    scale, translation = [1.0] * len(names), [0.0] * len(names)
    steps = [*image["datasets"][0].get("coordinateTransformations", ())]
    for step in [*steps, *image.get("coordinateTransformations", ())]:
        if step.get("type") == "scale":
            scale = [a * float(b) for a, b in zip(scale, step["scale"], strict=True)]
            translation = [a * float(b) for a, b in zip(translation, step["scale"], strict=True)]
        elif step.get("type") == "translation":
            translation = [a + float(b) for a, b in zip(translation, step["translation"], strict=True)]
    return scale, translation


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
