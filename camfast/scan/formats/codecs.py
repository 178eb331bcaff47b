"""How chunks of a Zarr array are packed: nothing that makes Python objects, of which some run code, is used."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from camfast.errors import InputError
from camfast.scan.formats.packing import PACKERS

OF_OBJECTS = ("pickle", "json2", "msgpack2", "categorize", "vlen-array", "vlen-bytes", "vlen-utf8")
"""Codecs of numcodecs that unpack objects; what ``pickle`` unpacks can run any code, in versions that still let it."""

CHECKSUMS = ("crc32c", "fletcher32", "jenkins_lookup3")
"""Codecs that put a sum behind what is packed."""

ADVICE = "export the store again, packed once"


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """Where a shard keeps the places of its chunks: two numbers of 8 bytes for each.

    Attributes
    ----------
    first
        Whether it stands in front of the chunks, not behind them.
    checksum
        Whether 4 bytes of a checksum follow.
    order
        Of the bytes of a number.
    """

    first: bool
    checksum: bool
    order: Literal["little", "big"]

    def size(self, count: int) -> int:
        """Bytes of the index of so many chunks."""
        return 16 * count + 4 * self.checksum

    def place(self, shard: Path, count: int, number: int) -> tuple[int, int]:
        """Read where a chunk begins in a shard and how many bytes it has; (0, 0) where it isn't stored."""
        with shard.open("rb") as file:
            file.seek((0 if self.first else shard.stat().st_size - self.size(count)) + 16 * number)
            entry = file.read(16)
        start, length = (int.from_bytes(part, self.order) for part in (entry[:8], entry[8:]))
        return (0, 0) if start == length == (1 << 64) - 1 else (start, length)


@dataclass(frozen=True, slots=True)
class Packing:
    """How the chunks of an array are packed.

    Attributes
    ----------
    packer
        One of `camfast.scan.formats.packing.PACKERS`; "" where none is.
    index
        Of shards, where chunks are kept in such.
    """

    packer: str
    index: ShardIndex | None


def packing_of(array: Any, path: Path) -> Packing:
    """What packs the chunks of an array.

    Parameters
    ----------
    array
        What Zarr opened.
    path
        The store, for messages.

    Raises
    ------
    InputError
        If chunks are packed in a way of which can't be seen what they unpack to: twice, in shards of shards, by LZMA
        without a header, or changed by another codec after they were packed.
    """
    metadata = array.metadata.to_dict()
    if metadata["zarr_format"] == 2:
        steps = [*(metadata["filters"] or ()), *((metadata["compressor"],) if metadata["compressor"] else ())]
    else:
        steps = metadata["codecs"]
    if "sharding_indexed" not in map(_name, steps):
        return Packing(_packer(steps, path), None)
    inner, index = (steps[0].get("configuration", {}).get(key, ()) for key in ("codecs", "index_codecs"))
    if len(steps) > 1 or "sharding_indexed" in map(_name, inner):
        raise InputError(f"{path}: its shards are within shards or packed themselves; {ADVICE}")
    names = [_name(step) for step in index]
    if names not in (["bytes"], ["bytes", "crc32c"]):
        raise InputError(f"{path}: the index of its shards is packed by {names}, expected bytes and crc32c; {ADVICE}")
    order = index[0].get("configuration", {}).get("endian", "little")
    first = steps[0]["configuration"].get("index_location") == "start"
    return Packing(_packer(inner, path), ShardIndex(first, len(names) > 1, "big" if order == "big" else "little"))


def _name(step: Mapping[str, Any]) -> str:
    return str(step.get("id", step.get("name"))).rpartition(".")[2]


def _packer(steps: Sequence[Mapping[str, Any]], path: Path) -> str:
    """Name what packs, of the codecs that a chunk goes through when it is written."""
    names = [_name(step) for step in steps]
    found = [name for name in names if name in PACKERS]
    if len(found) > 1:
        raise InputError(f"{path}: its chunks are packed twice, by {found[0]!r} and {found[1]!r}; {ADVICE}")
    if not found:
        return ""
    place = names.index(found[0])
    for name in names[place + 1 :]:
        if name not in CHECKSUMS:
            raise InputError(f"{path}: its chunks are packed by {found[0]!r} and then changed by {name!r}; {ADVICE}")
    settings = {**steps[place].get("configuration", {}), **steps[place]}
    if found[0] == "lzma" and settings.get("format", 1) == 3:
        raise InputError(f"{path}: its chunks are packed by LZMA without a header; {ADVICE}, as xz")
    return found[0]


def check_numbers(array: Any, path: Path) -> None:
    """Make sure that an array of a store holds numbers, and that unpacking them runs no code, before it is sliced.

    Parameters
    ----------
    array
        What Zarr opened.
    path
        The store, for messages.

    Raises
    ------
    InputError
        If it is a group, holds something else, or names a codec that makes objects.
    """
    dtype = getattr(array, "dtype", None)
    if dtype is None:
        raise InputError(f"{path}: {array.name!r} is a group, expected an array; export the store again")
    if not isinstance(dtype, np.dtype) or dtype.kind not in "biufc":
        raise InputError(f"{path}: holds values of type {dtype}, expected numbers; export the store again")
    for name in _codecs(array.metadata.to_dict()):
        if name.rpartition(".")[2] in OF_OBJECTS:
            raise InputError(
                f"{path}: its chunks are packed by {name!r}, which is for objects and can run code; export the store "
                "again, packed by another codec"
            )


def _codecs(metadata: Any) -> Iterator[str]:
    """Names of all codecs that metadata give, also those within others."""
    if isinstance(metadata, Mapping):
        yield from (metadata[key] for key in ("id", "name") if isinstance(metadata.get(key), str))
        for value in metadata.values():
            yield from _codecs(value)
    elif isinstance(metadata, list | tuple):
        for value in metadata:
            yield from _codecs(value)
    elif hasattr(metadata, "codec_id"):
        yield str(metadata.codec_id)
    elif hasattr(metadata, "to_dict"):
        yield from _codecs(metadata.to_dict())
