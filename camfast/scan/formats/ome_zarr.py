"""OME-Zarr: versions 0.4 (Zarr 2) and 0.5 (Zarr 3) are read at full resolution."""

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast._foreign import foreign, short
from camfast.errors import InputError
from camfast.scan.formats.chunked import LARGEST_KEPT, ChunkedArray
from camfast.scan.formats.codecs import check_numbers
from camfast.scan.formats.lazy import Shape
from camfast.scan.formats.packing import LARGEST_RATIO, SMALL, holds_more, says_of_itself
from camfast.scan.volumes import Volume, angstrom_per, check_axes, checked, known_origin, known_voxel_size

LARGEST_VOLUME = 1 << 40  # bytes; a larger one is real, but not without files that may hold it
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
            return checked(Volume(_chunked(path, node, (0, 1, 2)), path=path))
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
        return checked(Volume(_chunked(path, array, order), known_voxel_size(sizes), origin, path=path))


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


def _chunked(path: Path, array: Any, order: Shape) -> ChunkedArray:
    z, y, x = order
    shape, chunks = tuple(array.shape), tuple(array.chunks)
    if min(*shape, *chunks) <= 0:
        raise InputError(f"{path}: empty, or damaged: shape {shape}, chunks {chunks}; copy or export the store again")
    load = _Chunks(path, array, order)
    load.check_claims()
    return ChunkedArray(load, (shape[z], shape[y], shape[x]), (chunks[z], chunks[y], chunks[x]), array.dtype)


@dataclass(frozen=True, eq=False, slots=True)
class _Chunks:
    """Chunks of a Zarr array, their axes brought to (z, y, x)."""

    path: Path
    array: Any
    order: Shape

    def __call__(self, index: Shape) -> NDArray[Any]:
        part = [slice(None)] * len(self.array.shape)
        for axis, place in zip(self.order, index, strict=True):
            size = self.array.chunks[axis]
            part[axis] = slice(place * size, (place + 1) * size)
        others = [axis for axis in range(len(part)) if axis not in self.order]
        with foreign(
            f"{self.path}: chunk {index} (z, y, x) is damaged", "copy or export the store again", "zarr", warns=False
        ):
            self._check(index)
            values = np.asarray(self.array[tuple(part)])
        values = values.transpose([*others, *self.order]).reshape([values.shape[axis] for axis in self.order])
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def _unpacks_to_more(self, file: Path, stored: int, limit: int) -> bool:
        if getattr(self.array, "compressors", ()):
            with file.open("rb") as packed:
                head = packed.read(stored if stored > SMALL else SMALL)
            return holds_more(head, limit) if stored > SMALL else (says_of_itself(head) or 0) > limit
        return False

    def check_claims(self) -> None:
        """Make sure that a store whose metadata claim a volume that no disk holds has more than its metadata."""
        claimed = math.prod(self.array.shape) * self.array.dtype.itemsize
        if claimed <= LARGEST_VOLUME:
            return
        stored = 0
        for path in self.path.rglob("*"):
            stored += path.stat().st_size
            if stored * LARGEST_RATIO >= claimed:
                return
        raise InputError(
            f"{self.path}: its metadata promise {claimed:,} bytes, shape {tuple(self.array.shape)}, and its files hold "
            f"{stored:,}; copy or export the store again"
        )

    def _check(self, index: Shape) -> None:
        """Make sure that a chunk is no larger than what is stored of it can be, before room is made for it."""
        places = dict(zip(self.order, index, strict=True))
        sizes = self.array.shards or self.array.chunks
        inside = [places.get(axis, 0) * chunk // size for axis, (chunk, size) in enumerate(
            zip(self.array.chunks, sizes, strict=True))]  # fmt: skip
        file = self.path / self.array.path / self.array.metadata.encode_chunk_key(tuple(inside))
        stored = file.stat().st_size if file.is_file() else 0
        claimed = math.prod(self.array.chunks) * self.array.dtype.itemsize
        if not stored:  # as large as the volume lets it be, of the value that stands for what is missing
            claimed //= math.prod(self.array.chunks)
            claimed *= math.prod(min(pair) for pair in zip(self.array.chunks, self.array.shape, strict=True))
        if claimed > LARGEST_KEPT and claimed > LARGEST_RATIO * stored:
            raise InputError(
                f"{self.path}: chunk {index} (z, y, x) promises {claimed:,} bytes, and {stored:,} are stored of it; "
                "copy or export the store again"
            )
        if stored and self.array.shards is None and self._unpacks_to_more(file, stored, 2 * claimed):
            raise InputError(
                f"{self.path}: chunk {index} (z, y, x) unpacks to more than its {claimed:,} bytes; copy or export the "
                "store again"
            )


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
