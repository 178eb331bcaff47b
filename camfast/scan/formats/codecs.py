"""How chunks of a Zarr array are packed: nothing that makes Python objects, of which some run code, is used."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from camfast.errors import InputError

OF_OBJECTS = ("pickle", "json2", "msgpack2", "categorize", "vlen-array", "vlen-bytes", "vlen-utf8")
"""Codecs of numcodecs that unpack objects; what ``pickle`` unpacks can run any code, in versions that still let it."""


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
