"""What a Zarr store, a list, and a file of weights say, read without camfast and without the libraries it uses."""

import gzip
import io
import itertools
import json
import math
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from reliability.files.parsers import Reading, _block

LARGEST = 1 << 22
UNITS = {"angstrom": 1.0, "nanometer": 10.0, "micrometer": 1e4}


def zarr(files: Mapping[str, bytes]) -> Iterator[Reading]:
    """The image that multiscales name, or the array at the root."""
    try:
        yield from _zarr(files)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, OverflowError):
        return


def _zarr(files: Mapping[str, bytes]) -> Iterator[Reading]:
    for version in (3, 2):
        root = "zarr.json" if version == 3 else ".zgroup"
        about = _json(files, root)
        if version == 3 and about is not None:
            attributes = about.get("attributes", {})
            plain = about.get("node_type") == "array"
        else:
            attributes = _json(files, ".zattrs") or {}
            plain = ".zarray" in files
        folder, order = "", (0, 1, 2)
        if not plain:
            image = attributes.get("ome", attributes)["multiscales"][0]
            folder = f"{image['datasets'][0]['path'].strip('/')}/"
            names = [str(a["name"] if isinstance(a, dict) else a).lower() for a in image["axes"]]
            order = tuple(names.index(name) for name in "zyx")
        array = _json(files, f"{folder}{'zarr.json' if version == 3 else '.zarray'}")
        if array is not None:
            shape = tuple(int(n) for n in array["shape"])
            array["shape"] = list(shape)
            values = _values(files, folder, array, version) if math.prod(shape) <= LARGEST else None
            if values is not None:
                others = [axis for axis in range(len(shape)) if axis not in order]
                values = values.transpose(*others, *order).reshape([shape[axis] for axis in order])
            yield Reading(tuple(shape[axis] for axis in order), values)


def _json(files: Mapping[str, bytes], name: str) -> Any:
    return json.loads(files[name]) if name in files else None


def _values(files: Mapping[str, bytes], folder: str, array: Mapping[str, Any], version: int) -> Any:
    """Every voxel; None where chunks are packed in a way that is not looked at here."""
    if version == 3:
        names = [codec["name"] for codec in array["codecs"]]
        if names not in (["bytes"], ["bytes", "gzip"]) or array["chunk_grid"]["name"] != "regular":
            return None
        order = {"big": ">", "little": "<"}[array["codecs"][0].get("configuration", {}).get("endian", "little")]
        kinds = {"float32": "f4", "float64": "f8", "int16": "i2", "uint8": "u1", "uint16": "u2", "int8": "i1"}
        dtype = order + kinds[array["data_type"]]
        chunks, separator = array["chunk_grid"]["configuration"]["chunk_shape"], "/"
        name = array["chunk_key_encoding"]
        prefix = "c" if name["name"] == "default" else ""
        separator = name.get("configuration", {}).get("separator", "/" if prefix else ".")
    else:
        if array.get("filters") or array.get("order", "C") != "C":
            return None
        if (array["compressor"] or {"id": "zlib"})["id"] not in ("zlib", "gzip"):
            return None
        names, dtype, chunks = [array["compressor"]], array["dtype"], array["chunks"]
        prefix, separator = "", array.get("dimension_separator", ".")
    if not all(type(size) is int and size > 0 for size in chunks) or not isinstance(array["fill_value"], int | float):
        return None
    if math.prod(chunks) > LARGEST:
        return None
    shape = array["shape"]
    out = np.full(shape, array["fill_value"], dtype)
    for index in itertools.product(*(range(-(-n // c)) for n, c in zip(shape, chunks, strict=True))):
        key = separator.join([*([prefix] if prefix else []), *map(str, index)])
        packed = files.get(folder + key)
        if packed is None:
            continue
        content = _unpacked(packed, len(names) == 2 if version == 3 else names[0] is not None)
        part = None if content is None else _block(content, dtype, tuple(chunks), 0)
        if part is None:
            return None
        box = tuple(slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(index, chunks, shape, strict=True))
        out[box] = part[tuple(slice(0, span.stop - span.start) for span in box)]
    return out


def _unpacked(packed: bytes, is_packed: bool) -> bytes | None:
    if not is_packed:
        return packed
    try:
        return gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else zlib.decompress(packed)
    except (OSError, EOFError, zlib.error):
        return None


SAFE = {
    "F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1", "U8": "u1", "BOOL": "?",
    "U16": "u2", "U32": "u4", "U64": "u8", "C64": "c8",
}  # fmt: skip


def safetensors(content: bytes) -> dict[str, tuple[tuple[int, ...], bytes]]:
    """Shape and bytes of each tensor."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    header.pop("__metadata__", None)
    return {
        key: (tuple(entry["shape"]), data[slice(*entry["data_offsets"])])
        for key, entry in header.items()
        if entry["dtype"] in SAFE
    }


class _Restricted(pickle.Unpickler):
    """Gives (name of a record, offset, size, strides) for each tensor, and runs nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "OrderedDict":
            return OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, size, stride, *_: (storage, offset, size, stride)
        return f"{module}.{name}"

    def persistent_load(self, pid: Any) -> Any:
        return pid[1], str(pid[2])


KINDS = {"FloatStorage": "f4", "HalfStorage": "f2", "DoubleStorage": "f8", "LongStorage": "i8", "IntStorage": "i4"}


def state_dict(content: bytes) -> dict[str, tuple[tuple[int, ...], bytes]] | None:
    """Shape and bytes of each tensor of an archive; None where it is written in another way."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = {name.split("/", 1)[1]: name for name in archive.namelist() if "/" in name}
            found = _Restricted(io.BytesIO(_record(content, archive, names["data.pkl"]))).load()
            found = found.get("state_dict", found)
            return {
                key: (tuple(size), _tensor(_record(content, archive, names[f"data/{storage[1]}"]), storage[0], *rest))
                for key, (storage, *rest) in found.items()
                for size in [rest[1]]
            }
    except Exception:
        return None


def _record(content: bytes, archive: zipfile.ZipFile, name: str) -> bytes:
    """Bytes of a record that is not packed; its checksum is not looked at, as torch doesn't."""
    info = archive.getinfo(name)
    at = info.header_offset
    if content[at + 30 : at + 30 + len(name)] != name.encode():
        raise ValueError("named otherwise where it lies")
    start = at + 30 + int.from_bytes(content[at + 26 : at + 28], "little")
    start += int.from_bytes(content[at + 28 : at + 30], "little")
    record = content[start : start + info.compress_size]
    return record if info.compress_type == zipfile.ZIP_STORED else zlib.decompress(record, -15)


def _tensor(record: bytes, kind: str, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    values = np.frombuffer(
        record[
            : len(record)
            // np.dtype(KINDS[kind.split(".")[-1]]).itemsize
            * np.dtype(KINDS[kind.split(".")[-1]]).itemsize
        ],
        KINDS[kind.split(".")[-1]],
    )
    if math.prod(size) == 0:
        return b""
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if offset < 0 or min(stride, default=0) < 0 or last >= len(values):
        raise ValueError("outside the record")
    view = np.lib.stride_tricks.as_strided(values[offset:], size, [s * values.itemsize for s in stride])
    return view.tobytes()
