"""Chunks of a Zarr array, in files of their own or in shards: none is unpacked that claims more than it can hold."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._foreign import foreign
from camfast.errors import InputError
from camfast.scan.formats.chunked import LARGEST_KEPT, ChunkedArray
from camfast.scan.formats.codecs import Packing, packing_of
from camfast.scan.formats.lazy import Shape
from camfast.scan.formats.packing import LARGEST_RATIO, unpacks_beyond

LARGEST_VOLUME = 1 << 40  # bytes; a larger one is real, but not without files that may hold it
ADVICE = "copy or export the store again"


def chunked(path: Path, array: Any, order: Shape) -> ChunkedArray:
    """Make a volume of a Zarr array, whose chunks are read when they are sliced.

    Parameters
    ----------
    path
        The store, for messages.
    array
        What Zarr opened, of numbers.
    order
        Which of its axes are z, y and x; the others have a length of 1.

    Raises
    ------
    InputError
        If the array is empty, claims more than its files can hold, or is packed so that nobody can say what of.
    """
    z, y, x = order
    shape, chunks = tuple(array.shape), tuple(array.chunks)
    if min(*shape, *chunks) <= 0:
        raise InputError(f"{path}: empty, or damaged: shape {shape}, chunks {chunks}; {ADVICE}")
    load = _Chunks(path, array, order, packing_of(array, path))
    load.check_claims()
    return ChunkedArray(load, (shape[z], shape[y], shape[x]), (chunks[z], chunks[y], chunks[x]), array.dtype)


@dataclass(frozen=True, eq=False, slots=True)
class _Chunks:
    """Chunks of a Zarr array, their axes brought to (z, y, x)."""

    path: Path
    array: Any
    order: Shape
    packing: Packing

    def __call__(self, index: Shape) -> NDArray[Any]:
        part = [slice(None)] * len(self.array.shape)
        for axis, place in zip(self.order, index, strict=True):
            size = self.array.chunks[axis]
            part[axis] = slice(place * size, (place + 1) * size)
        others = [axis for axis in range(len(part)) if axis not in self.order]
        with foreign(f"{self.path}: chunk {index} (z, y, x) is damaged", ADVICE, "zarr", warns=False):
            self._check(index)
            values = np.asarray(self.array[tuple(part)])
        if not self.path.is_dir():  # chunks that aren't there read as values that nobody stored
            raise InputError(f"{self.path}: was moved or removed while it was read; put it back, and try again")
        values = values.transpose([*others, *self.order]).reshape([values.shape[axis] for axis in self.order])
        return values.astype(values.dtype.newbyteorder("="), copy=False)

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
            f"{stored:,}; {ADVICE}"
        )

    def _check(self, index: Shape) -> None:
        """Make sure that a chunk is no larger than what is stored of it can be, before room is made for it."""
        file, start, stored = self._stored(index)
        chunks, shape = self.array.chunks, self.array.shape
        claimed = math.prod(chunks) * self.array.dtype.itemsize
        if not stored:  # as large as the volume lets it be, of the value that stands for what is missing
            sides = (min(pair) for pair in zip(chunks, shape, strict=True))
            claimed = math.prod(sides) * self.array.dtype.itemsize
        if claimed > LARGEST_KEPT and claimed > LARGEST_RATIO * stored:
            raise InputError(
                f"{self.path}: chunk {index} (z, y, x) promises {claimed:,} bytes, and {stored:,} are stored of it; "
                f"{ADVICE}"
            )
        if not stored or not self.packing.packer:
            return
        with file.open("rb") as packed:
            packed.seek(start)
            content = packed.read(stored)
        if unpacks_beyond(self.packing.packer, content, 2 * claimed):
            raise InputError(
                f"{self.path}: chunk {index} (z, y, x) unpacks to more than its {claimed:,} bytes; {ADVICE}"
            )

    def _stored(self, index: Shape) -> tuple[Path, int, int]:
        """Find the file that holds a chunk, where it begins there, and how many bytes it has."""
        chunks = self.array.chunks
        places = dict(zip(self.order, index, strict=True))
        place = tuple(places.get(axis, 0) for axis in range(len(chunks)))
        counts = tuple(size // chunk for size, chunk in zip(self.array.shards or chunks, chunks, strict=True))
        outer = tuple(at // count for at, count in zip(place, counts, strict=True))
        file = self.path / self.array.path / self.array.metadata.encode_chunk_key(outer)
        size = file.stat().st_size if file.is_file() else 0
        if self.packing.index is None or not size:
            return file, 0, size
        count = math.prod(counts)
        if self.packing.index.size(count) > size:
            raise InputError(f"{file}: a shard of {size:,} bytes, too few for the index of {count:,} chunks; {ADVICE}")
        number = 0
        for at, along in zip(place, counts, strict=True):
            number = number * along + at % along
        start, length = self.packing.index.place(file, count, number)
        if start + length > size:
            raise InputError(
                f"{file}: chunk {index} (z, y, x) ends at byte {start + length:,} of a shard of {size:,}; {ADVICE}"
            )
        return file, start, length
