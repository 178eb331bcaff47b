"""Writing MRC (.mrc, .map, .rec): the header first, then the values block by block, in any order."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast._version import __version__
from camfast.provenance import as_json, as_lines
from camfast.scan.bricks import Slices, blocks_of
from camfast.scan.formats.statistics import Statistics
from camfast.scan.formats.writer import Step
from camfast.scan.plan import Shape
from camfast.scan.volumes import Triple, Volume

_LABELS, _LABEL_WIDTH = 10, 80
MODES = {"float32": 2, "float16": 12, "int16": 1}
_HEADER_BYTES = 1024
_SLAB, _VOXELS = 64, 1 << 24


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
    """

    def __init__(self, path: Path, like: Volume, dtype: str = "float32") -> None:
        self.path, self.like, self.dtype = path, like, np.dtype(dtype).newbyteorder("<")
        self.shape, self.channels = like.shape, None

    @property
    def block(self) -> Shape:
        """Shape of the pieces that are written at once: whole rows, which lie together in the file."""
        depth, height, width = self.shape
        depth = min(depth, _SLAB)
        return depth, min(height, max(1, _VOXELS // (depth * width))), width

    def create(self) -> None:
        """Make the file with its header and room for the values, none of them written."""
        mrcfile = require("mrcfile", "scan", "writing MRC files")
        with mrcfile.new_mmap(self.path, self.shape, MODES[self.dtype.name], overwrite=True) as file:
            file.set_volume()
            file.voxel_size = _reversed(self.like.voxel_angstrom or (0.0, 0.0, 0.0))
            file.nstart = self.like.start[::-1]
            file.header.origin = np.array(_reversed(self.like.origin), dtype=file.header.origin.dtype)

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

    def finish(self, statistics: Sequence[Statistics], attributes: Mapping[str, Any] | None = None) -> None:
        """Put the statistics of the whole volume into the header, and what has room of how it came about."""
        mrcfile = require("mrcfile", "scan", "writing MRC files")
        (found,) = statistics
        about = as_json(attributes or {})
        kept = {name: value for name, value in about.items() if name != "camfast"}  # the first line has it
        lines = [f"camfast {__version__}", *as_lines(kept, _LABELS - 1, _LABEL_WIDTH)]
        with mrcfile.mmap(self.path, "r+") as file:
            file.header.dmin, file.header.dmax = found.low, found.high
            file.header.dmean, file.header.rms = found.mean, found.deviation
            for index in range(_LABELS):
                line = lines[index].encode("ascii", "replace")[:_LABEL_WIDTH] if index < len(lines) else b""
                file.header.label[index] = line
            file.header.nlabl = len(lines)


def write_mrc(
    path: Path, data: Any, like: Volume, attributes: Mapping[str, Any] | None = None, dtype: str = "float32"
) -> None:
    """Write a volume (z, y, x) at once, see `MrcWriter`."""
    writer = MrcWriter(path, like, dtype)
    writer.create()
    found = (writer.write(block, np.asarray(data[block])) for block in blocks_of(like.shape, writer.block))
    writer.finish([Statistics.merged(found)], attributes)


def _write_at(descriptor: int, values: NDArray[Any], offset: int) -> None:
    view = memoryview(values.data).cast("B")
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _reversed(triple: Triple) -> Triple:
    z, y, x = triple
    return x, y, z
