"""Writing MRC (.mrc, .map, .rec): the header first, then the values block by block, in any order."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast._version import __version__
from camfast.provenance import as_json, as_lines
from camfast.scan.formats.statistics import Statistics
from camfast.scan.formats.writer import Step
from camfast.scan.volumes import Volume
from camfast.scan.windows.bricks import Slices, blocks_of
from camfast.scan.windows.plan import Shape

_LABELS, _LABEL_WIDTH = 10, 80
MODES = {"float32": 2, "float16": 12, "int16": 1}
_HEADER_BYTES = 1024
_SLAB, _SIDE = 64, 256


class MrcWriter:
    """One volume (z, y, x) in an MRC file, with the voxel size, origin and start of another.

    An unknown voxel size is written as 0. The header holds no time, so that a repeated run gives the same bytes.

    Parameters
    ----------
    path
        The file.
    like
        The volume whose shape, voxel size and position are kept.
    dtype
        ``"float32"`` (mode 2) or ``"float16"`` (mode 12).
    side
        Edge of a cube with as many voxels as are written at once.
    """

    def __init__(self, path: Path, like: Volume, dtype: str = "float32", side: int = _SIDE) -> None:
        self.side = side
        self.path, self.like, self.dtype = path, like, np.dtype(dtype).newbyteorder("<")
        self.shape, self.channels = like.shape, None

    @property
    def block(self) -> Shape:
        """Shape of the pieces that are written at once: whole rows, which lie together in the file."""
        depth, height, width = self.shape
        depth = min(depth, _SLAB)
        return depth, min(height, max(1, self.side**3 // (depth * width))), width

    def create(self) -> None:
        """Make the file with its header and room for the values, none of them written."""
        header = _empty_header()
        header["mode"] = MODES[self.dtype.name]
        for axis, length, first in zip("xyz", self.shape[::-1], self.like.start[::-1], strict=True):
            header[f"n{axis}"] = header[f"m{axis}"] = length
            header[f"n{axis}start"] = first
        size = self.like.voxel_angstrom or (0.0, 0.0, 0.0)
        header["cella"] = tuple(n * s for n, s in zip(self.shape[::-1], size[::-1], strict=True))
        header["origin"] = self.like.origin[::-1]
        with self.path.open("wb", buffering=0) as file:
            _write_at(file.fileno(), header, 0)
            file.truncate(self._bytes)

    def is_made(self) -> bool:
        """Whether the file is there and has its size."""
        try:
            return self.path.stat().st_size == self._bytes
        except FileNotFoundError:
            return False

    def lacks(self, level: int, channel: int | None, block: Slices) -> bool:  # noqa: ARG002 - all are in one file
        """No block is lost alone."""
        return False

    def write(self, voxels: Slices, values: NDArray[Any], channel: int | None = None) -> Statistics:  # noqa: ARG002 - an MRC file has no channels
        """Write one block, and return what its values are like as they are stored."""
        stored = np.ascontiguousarray(values, self.dtype)
        _, height, width = self.shape
        z, y, x = voxels
        whole_rows = x == slice(0, width)
        # not opened for reading: an NFS client would read pages and send them whole, others' rows in them as they were
        with os.fdopen(os.open(self.path, os.O_WRONLY), "wb", buffering=0) as file:
            for index, plane in enumerate(stored):
                row = ((z.start + index) * height + y.start) * width + x.start
                pieces = [plane] if whole_rows else plane
                for number, piece in enumerate(pieces):
                    _write_at(file.fileno(), piece, _HEADER_BYTES + (row + number * width) * self.dtype.itemsize)
            os.fsync(file.fileno())
        return Statistics.of(stored)

    def coarser(self) -> list[list[Step]]:
        """Nothing: an MRC file has no coarser levels."""
        return []

    def coarsen(self, level: int, channel: int | None, block: Slices) -> None:
        """Never called."""

    @property
    def _bytes(self) -> int:
        return _HEADER_BYTES + math.prod(self.shape) * self.dtype.itemsize

    def finish(self, statistics: Sequence[Statistics], attributes: Mapping[str, Any] | None = None) -> None:
        """Put the statistics of the whole volume into the header, and what has room of how it came about."""
        (found,) = statistics
        about = as_json(attributes or {})
        kept = {name: value for name, value in about.items() if name != "camfast"}  # the first line has it
        lines = [f"camfast {__version__}", *as_lines(kept, _LABELS - 1, _LABEL_WIDTH)]
        with self.path.open("r+b", buffering=0) as file:
            header = np.frombuffer(bytearray(file.read(_HEADER_BYTES)), _empty_header().dtype)[0]
            header["dmin"], header["dmax"] = found.low, found.high
            header["dmean"], header["rms"] = found.mean, found.deviation
            header["label"][: len(lines)] = [line.encode("ascii", "replace")[:_LABEL_WIDTH] for line in lines]
            header["nlabl"] = len(lines)
            _write_at(file.fileno(), header, 0)
            os.fsync(file.fileno())


def _empty_header() -> NDArray[Any]:
    """What all files have in common: little-endian, axes in the order x, y, z, a volume of unknown statistics."""
    dtypes = require("mrcfile.dtypes", "scan", "writing MRC files")
    header: NDArray[Any] = np.zeros((), dtypes.HEADER_DTYPE.newbyteorder("<"))
    header["map"], header["machst"], header["nversion"] = b"MAP ", (0x44, 0x44, 0, 0), 20141
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["cellb"], header["ispg"] = (90.0, 90.0, 90.0), 1
    header["dmin"], header["dmax"], header["dmean"], header["rms"] = 0, -1, -2, -1
    return header


def write_mrc(
    path: Path, data: Any, like: Volume, attributes: Mapping[str, Any] | None = None, dtype: str = "float32"
) -> None:
    """Write a volume (z, y, x) at once, see `MrcWriter`."""
    writer = MrcWriter(path, like, dtype)
    writer.create()
    found = (writer.write(block, np.asarray(data[block])) for block in blocks_of(like.shape, writer.block))
    writer.finish([Statistics.merged(found)], attributes)


def _write_at(descriptor: int, values: NDArray[Any], offset: int) -> None:
    view = memoryview(values.reshape(-1).view(np.uint8).data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
