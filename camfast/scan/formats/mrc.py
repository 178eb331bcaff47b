"""MRC and its relatives (.mrc, .rec, .map, .st, .ali), plain or compressed with gzip or bzip2."""

import bz2
import gzip
import io
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from camfast._extras import require
from camfast.errors import InputError
from camfast.scan.volumes import Volume, checked, known_voxel_size

HEADER_BYTES = 1024
# IMOD marks its headers and says in a flag whether mode 0 is signed; these are offsets into mrcfile's field "extra2".
IMOD_STAMP = 1146047817
IMOD_STAMP_OFFSET = 40


def read_mrc(path: Path) -> Volume:
    """Read an MRC file, its axes brought to (z, y, x) by MAPC, MAPR and MAPS.

    The data of a plain file is a memory map; that of a compressed one is unpacked. A header without the MAP stamp, a
    wrong machine stamp and trailing bytes are accepted. Mode 0 is unsigned where IMOD's flags say so.

    Raises
    ------
    InputError
        If the file is damaged, truncated, no MRC file, or holds complex values, one image or a stack of volumes.
    """
    with path.open("rb") as file:
        magic = file.read(2)
    if magic in (b"\x1f\x8b", b"BZ"):
        return _read_compressed(path, gzip.GzipFile if magic == b"\x1f\x8b" else bz2.BZ2File)
    with path.open("rb") as file:
        header = _header(path, file.read(HEADER_BYTES))
    shape, dtype, offset = _layout(path, header)
    _check_size(path, path.stat().st_size, shape, dtype, offset)
    return _oriented(path, header, np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape))


def _read_compressed(path: Path, opener: Callable[[Path], gzip.GzipFile | bz2.BZ2File]) -> Volume:
    try:
        with opener(path) as stream:
            head = stream.read(HEADER_BYTES)
            header = _header(path, head)
            shape, dtype, offset = _layout(path, header)
            expected = offset + int(np.prod(shape, dtype=object)) * dtype.itemsize
            content = bytearray(head)
            # In pieces: what the header claims is not allocated before it has arrived.
            while len(content) < expected and (piece := stream.read(min(1 << 24, expected - len(content)))):
                content += piece
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: the compressed data is damaged ({error}); copy or export the file again") from None
    _check_size(path, len(content), shape, dtype, offset)
    data = np.frombuffer(content, dtype=dtype, offset=offset, count=int(np.prod(shape))).reshape(shape)
    return _oriented(path, header, data)


def _header(path: Path, head: bytes) -> Any:
    interpreter = require("mrcfile.mrcinterpreter", "scan", "reading MRC files")
    if len(head) < HEADER_BYTES:
        raise InputError(
            f"{path}: {len(head)} bytes, and an MRC header alone has {HEADER_BYTES}; copy or export the file again"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return interpreter.MrcInterpreter(iostream=io.BytesIO(head), permissive=True, header_only=True).header
        except (ValueError, MemoryError, OverflowError):
            raise _foreign(path, "its header makes no sense") from None


def _foreign(path: Path, found: str) -> InputError:
    return InputError(f"{path}: not an MRC file that can be read ({found}); export it as MRC, mode 2 (float32)")


def _layout(path: Path, header: Any) -> tuple[tuple[int, int, int], np.dtype[Any], int]:
    """Return shape (sections, rows, columns), type and first byte of the data, as the header claims them."""
    utils = require("mrcfile.utils", "scan", "reading MRC files")
    shape = (int(header.nz), int(header.ny), int(header.nx))
    if min(shape) <= 0 or int(header.nsymbt) < 0:
        raise _foreign(path, f"the header gives the size {shape}")
    try:
        dtype = np.dtype(utils.data_dtype_from_header(header))
    except ValueError:
        raise _foreign(path, f"its mode is {int(header.mode)}, known are 0, 1, 2, 6 and 12") from None
    if dtype.kind == "c":
        raise InputError(
            f"{path}: holds complex values (mode {int(header.mode)}), a Fourier transform; give the density itself"
        )
    if sorted(_axes(header)) != [0, 1, 2]:
        raise _foreign(path, f"MAPC, MAPR, MAPS are {int(header.mapc)}, {int(header.mapr)}, {int(header.maps)}")
    volumes = shape[0] // int(header.mz) if int(header.ispg) >= 401 and int(header.mz) > 0 else 1
    if volumes > 1:
        raise InputError(f"{path}: a stack of {volumes} volumes, expected one; split it first")
    if shape[0] == 1 and int(header.ispg) == 0:
        raise InputError(
            f"{path}: one image of {shape[1]} × {shape[2]} pixels, expected a volume (z, y, x); "
            "give a reconstruction; camfast explain takes a single image as PNG or TIFF"
        )
    if int(header.mode) == 0 and _imod_unsigned(header):
        dtype = np.dtype(np.uint8)
    return shape, dtype, HEADER_BYTES + int(header.nsymbt)


def _axes(header: Any) -> list[int]:
    """Spatial axis (0 x, 1 y, 2 z) of columns, rows and sections; old files leave the fields at 0."""
    fields = [int(header.mapc), int(header.mapr), int(header.maps)]
    return [0, 1, 2] if fields == [0, 0, 0] else [field - 1 for field in fields]


def _imod_unsigned(header: Any) -> bool:
    integers = header.mode.dtype  # an int32 in the file's byte order
    stamp, flags = np.frombuffer(header.extra2.tobytes(), integers, count=2, offset=IMOD_STAMP_OFFSET)
    return bool(stamp == IMOD_STAMP and not flags & 1)


def _check_size(path: Path, found: int, shape: Sequence[int], dtype: np.dtype[Any], offset: int) -> None:
    expected = offset + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if found < expected:
        size = " × ".join(str(count) for count in shape)
        raise InputError(
            f"{path}: truncated: the header promises {expected:,} bytes ({size} voxels of {dtype.name}) and there are "
            f"{found:,}; copy or export the file again"
        )


def _oriented(path: Path, header: Any, data: Any) -> Volume:
    axes = _axes(header)
    stored = axes[::-1]  # spatial axis of each array axis: sections, rows, columns
    to_zyx = [stored.index(axis) for axis in (2, 1, 0)]
    starts = [int(header.nzstart), int(header.nystart), int(header.nxstart)]  # of sections, rows, columns
    cell, origin = header.cella, header.origin
    counts = (int(header.mz), int(header.my), int(header.mx))
    lengths = (float(cell.z), float(cell.y), float(cell.x))
    sizes = [length / count if count > 0 else 0.0 for length, count in zip(lengths, counts, strict=True)]
    return checked(
        Volume(
            data.transpose(to_zyx),
            known_voxel_size(sizes),
            (float(origin.z), float(origin.y), float(origin.x)),
            (starts[to_zyx[0]], starts[to_zyx[1]], starts[to_zyx[2]]),
            path,
        )
    )
