"""MRC and its relatives (.mrc, .rec, .map, .st, .ali), plain or compressed with gzip or bzip2."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from camfast._extras import require
from camfast.errors import InputError
from camfast.scan.formats.contents import Contents, open_contents
from camfast.scan.formats.lazy import Shape
from camfast.scan.formats.raw import RawArray
from camfast.scan.volumes import Volume, checked, known_origin, known_voxel_size

HEADER_BYTES = 1024
# IMOD marks its headers and says in a flag whether mode 0 is signed; these are offsets into mrcfile's field "extra2".
IMOD_STAMP = 1146047817
IMOD_STAMP_OFFSET = 40
NSYMBT_OFFSET = 92
IMOD_HALVES = 101  # IMOD's mode of two unsigned values of 4 bits in a byte
MODES = (0, 1, 2, 3, 4, 6, 12, IMOD_HALVES)


def read_mrc(path: Path) -> Volume:
    """Read an MRC file, its axes brought to (z, y, x) by MAPC, MAPR and MAPS, its values when they are sliced.

    Modes 0, 1, 2, 6, 12 and IMOD's 101 (4 bits). A header without the MAP stamp, a wrong machine stamp and trailing
    bytes are accepted. Mode 0 is unsigned where IMOD's flags say so, or the header's largest value is above 127.

    Raises
    ------
    InputError
        If the file is damaged, truncated, no MRC file, or holds complex values, one image or a stack of volumes.
    """
    contents = open_contents(path)
    header = _header(path, contents.head(HEADER_BYTES))
    _check_volume(path, header)
    axes = _axes(header)[::-1]  # spatial axis (0 x, 1 y, 2 z) of sections, rows, columns
    to_zyx = (axes.index(2), axes.index(1), axes.index(0))
    return _placed(path, header, _sections(contents, header, to_zyx), to_zyx)


def read_sections(path: Path) -> RawArray:
    """Read an MRC file of images as it lies: (sections, rows, columns), values when they are sliced (see `read_mrc`).

    Raises
    ------
    InputError
        If the file is damaged, truncated, no MRC file, or holds complex values.
    """
    contents = open_contents(path)
    return _sections(contents, _header(path, contents.head(HEADER_BYTES)), (0, 1, 2))


def _sections(contents: Contents, header: Any, axes: Shape) -> RawArray:
    stored, dtype = _layout(contents.path, header)
    offset, halves = HEADER_BYTES + int(header.nsymbt), int(header.mode) == IMOD_HALVES
    return RawArray(contents, stored, dtype, offset=offset, axes=axes, halves=halves)


def _header(path: Path, head: bytes) -> Any:
    interpreter = require("mrcfile.mrcinterpreter", "scan", "reading MRC files")
    if len(head) < HEADER_BYTES:
        raise InputError(
            f"{path}: {len(head)} bytes, and an MRC header alone has {HEADER_BYTES}; copy or export the file again"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # without the length of the extended header, for which room would be made whatever it claims
            short = io.BytesIO(head[:NSYMBT_OFFSET] + bytes(4) + head[NSYMBT_OFFSET + 4 :])
            dtype = interpreter.MrcInterpreter(iostream=short, permissive=True, header_only=True).header.dtype
        except ValueError:
            raise _foreign(path, "its header makes no sense") from None
    header = np.frombuffer(head, dtype, 1).reshape(()).view(np.recarray)
    # A wrong stamp shows to mrcfile in the mode alone, and mode 0 is the same in both orders.
    other = header.view(header.dtype.newbyteorder())
    return other if _makes_sense(other) and not _makes_sense(header) else header


def _makes_sense(header: Any) -> bool:
    sizes = (int(header.nx), int(header.ny), int(header.nz))
    return min(sizes) > 0 and int(header.mode) in MODES and all(0 <= axis < 3 for axis in _axes(header))


def _foreign(path: Path, found: str) -> InputError:
    return InputError(f"{path}: not an MRC file that can be read ({found}); export it as MRC, mode 2 (float32)")


def _layout(path: Path, header: Any) -> tuple[Shape, np.dtype[Any]]:
    """Return the numbers of sections, rows and columns, and the type of a value, as the header claims them."""
    utils = require("mrcfile.utils", "scan", "reading MRC files")
    mode, stored = int(header.mode), (int(header.nz), int(header.ny), int(header.nx))
    if min(stored) <= 0 or int(header.nsymbt) < 0:
        raise _foreign(path, f"the header gives the size {stored}")
    if mode in (3, 4):
        raise InputError(f"{path}: holds complex values (mode {mode}), a Fourier transform; give the density itself")
    if mode not in MODES:
        raise _foreign(path, f"its mode is {mode}, known are 0, 1, 2, 6, 12 and 101")
    if sorted(_axes(header)) != [0, 1, 2]:
        raise _foreign(path, f"MAPC, MAPR, MAPS are {int(header.mapc)}, {int(header.mapr)}, {int(header.maps)}")
    if mode == IMOD_HALVES or (mode == 0 and _unsigned(header)):
        return stored, np.dtype(np.uint8)
    return stored, np.dtype(utils.data_dtype_from_header(header))


def _check_volume(path: Path, header: Any) -> None:
    """Make sure that a header is that of one volume."""
    _layout(path, header)
    sections, rows, columns = int(header.nz), int(header.ny), int(header.nx)
    volumes = sections // int(header.mz) if int(header.ispg) >= 401 and int(header.mz) > 0 else 1
    if volumes > 1:
        raise InputError(f"{path}: a stack of {volumes} volumes, expected one; split it first")
    if sections == 1 and int(header.ispg) == 0:
        raise InputError(
            f"{path}: one image of {rows} × {columns} pixels, expected a volume (z, y, x); "
            "give a reconstruction; camfast explain takes a single image as PNG or TIFF"
        )


def _axes(header: Any) -> list[int]:
    """Spatial axis (0 x, 1 y, 2 z) of columns, rows and sections; old files leave the fields at 0."""
    fields = [int(header.mapc), int(header.mapr), int(header.maps)]
    return [0, 1, 2] if fields == [0, 0, 0] else [field - 1 for field in fields]


def _unsigned(header: Any) -> bool:
    """Whether mode 0 holds 0 to 255: IMOD flags it, and older software leaves only a largest value that tells."""
    integers = header.mode.dtype  # an int32 in the file's byte order
    stamp, flags = np.frombuffer(header.extra2.tobytes(), integers, count=2, offset=IMOD_STAMP_OFFSET)
    if stamp == IMOD_STAMP:
        return not flags & 1
    return bool(header.dmin >= 0 and 127 < header.dmax <= 255)


def _placed(path: Path, header: Any, data: RawArray, to_zyx: Shape) -> Volume:
    starts = [int(header.nzstart), int(header.nystart), int(header.nxstart)]  # of sections, rows, columns
    cell, origin = header.cella, header.origin
    counts = (int(header.mz), int(header.my), int(header.mx))
    lengths = (float(cell.z), float(cell.y), float(cell.x))
    sizes = [length / count if count > 0 else 0.0 for length, count in zip(lengths, counts, strict=True)]
    return checked(
        Volume(
            data,
            known_voxel_size(sizes),
            known_origin([float(origin.z), float(origin.y), float(origin.x)]),
            (starts[to_zyx[0]], starts[to_zyx[1]], starts[to_zyx[2]]),
            path,
        )
    )
