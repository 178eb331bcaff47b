"""OME-Zarr: versions 0.4 (Zarr 2) and 0.5 (Zarr 3) are read at full resolution."""

import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camfast._extras import require
from camfast._foreign import foreign, short
from camfast.errors import InputError
from camfast.scan.formats.codecs import check_numbers
from camfast.scan.formats.zarr_chunks import chunked
from camfast.scan.volumes import Volume, angstrom_per, check_axes, checked, known_origin, known_voxel_size

MARKS = ("zarr.json", ".zgroup", ".zarray")


def is_store(path: Path) -> bool:
    """Whether a folder is a Zarr group or array, whatever its name."""
    return path.is_dir() and any((path / name).is_file() for name in MARKS)


def read_ome_zarr(path: Path) -> Volume:
    """Read level 0 of an OME-Zarr image, or a plain Zarr array with three axes, its chunks when they are sliced.

    Leading axes (time, channel) of length 1 are dropped. Scale and translation are taken where the axes have a unit
    of length. A store of several images, as bioformats2raw writes them, is read where there is only one.

    Raises
    ------
    InputError
        If the store is damaged, holds no image, or several images, channels or times.
    """
    zarr = require("zarr", "scan", "reading OME-Zarr")
    advice = "give a store of version 0.4 or 0.5 whose metadata lists multiscales"
    with foreign(f"{path}: no OME-Zarr image", advice, "zarr"):
        node = zarr.open(str(path), mode="r")
        if not isinstance(node, zarr.Group):
            check_numbers(node, path)
            check_axes(str(path), node.shape)
            return checked(Volume(chunked(path, node, (0, 1, 2)), path=path))
        image, node = _image(node, path)
        array = node[image["datasets"][0]["path"]]
        axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in image["axes"]]
        check_numbers(array, path)
        names = [str(axis["name"]).lower() for axis in axes]
        shape = tuple(int(length) for length in array.shape)
        if any(names.count(axis) != 1 for axis in "zyx") or len(names) != len(shape):
            raise InputError(
                f"{path}: the image has the axes {reprlib.repr(names)} and shape {shape}, expected z, y and x"
            )
        for name, length in zip(names, shape, strict=True):
            if name not in ("z", "y", "x") and length != 1:
                raise InputError(
                    f"{path}: {length} entries along the axis {short(name)!r}, expected one volume; split it first"
                )
        order = (names.index("z"), names.index("y"), names.index("x"))
        scale, translation = _placement(image, names)
        units = [angstrom_per(axes[index].get("unit")) for index in order]
        sizes = [scale[index] * unit for index, unit in zip(order, units, strict=True)]
        origin = known_origin([translation[index] * unit for index, unit in zip(order, units, strict=True)])
        return checked(Volume(chunked(path, array, order), known_voxel_size(sizes), origin, path=path))


def _image(group: Any, path: Path) -> tuple[Mapping[str, Any], Any]:
    """Metadata of the image and the group it stands in: this one, or its child "0"."""
    attributes = dict(group.attrs)
    attributes = attributes.get("ome", attributes)
    if "multiscales" not in attributes and "bioformats2raw.layout" in attributes:
        if "1" in group:
            raise InputError(f"{path}: holds several images; name one of them, as {path / '0'}")
        group = group["0"]
        attributes = dict(group.attrs)
        attributes = attributes.get("ome", attributes)
    return attributes["multiscales"][0], group


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
