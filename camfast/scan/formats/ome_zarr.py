"""OME-Zarr: versions 0.4 (Zarr 2) and 0.5 (Zarr 3) are read at full resolution."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.errors import InputError
from camfast.scan.volumes import Volume, angstrom_per, checked, known_voxel_size


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
