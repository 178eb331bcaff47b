"""Volumes whose values lie in a file one after the other: MRC, EM, NIfTI, uncompressed TIFF."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.scan.formats.contents import Contents
from camfast.scan.formats.lazy import Box, LazyArray, Shape

# Rows are read as one run, and cut afterwards, where no more bytes than these lie between the end of one and the start
# of the next: copying them takes as long as asking for a row (1.4 µs), and a disk reads them anyway.
LARGEST_GAP = 1 << 14


class RawArray(LazyArray):
    """A volume stored as sections of rows of columns, read where it is sliced.

    Runs that lie one after the other are read at once: whole sections, else the rows of a section, else row by row.

    Parameters
    ----------
    contents
        The file.
    stored
        Numbers of sections, rows and columns.
    dtype
        Type of a stored value, with its byte order.
    offset
        Byte at which the first value stands.
    axes
        Which of sections (0), rows (1) and columns (2) is z, y and x.
    halves
        Two values lie in a byte, the first in its low half; each row starts with a byte of its own. ``dtype`` is uint8.
    scale
        Factor and summand that turn stored values into what they stand for, in float64; None to leave them.

    Raises
    ------
    InputError
        If the file is shorter than that; later, when it is read, if it has become shorter.
    """

    def __init__(
        self,
        contents: Contents,
        stored: Shape,
        dtype: Any,
        *,
        offset: int = 0,
        axes: Shape = (0, 1, 2),
        halves: bool = False,
        scale: tuple[float, float] | None = None,
    ) -> None:
        shape = (stored[axes[0]], stored[axes[1]], stored[axes[2]])
        row = (1, 1, stored[2])
        chunks = (row[axes[0]], row[axes[1]], row[axes[2]])
        super().__init__(shape, dtype if scale is None else np.float64, chunks)
        self._contents, self._offset, self._axes, self._halves, self._scale = contents, offset, axes, halves, scale
        self._dtype = np.dtype(dtype)
        self._stored = (stored[0], stored[1], -(-stored[2] // 2)) if halves else stored
        expected = offset + math.prod(self._stored) * self._dtype.itemsize
        if (there := contents.hold(expected)) < expected:
            size = " × ".join(str(count) for count in stored)
            kind = "4 bits" if halves else self._dtype.name
            raise InputError(
                f"{contents.path}: truncated: the header promises {expected:,} bytes ({size} voxels of {kind}) and "
                f"there are {there:,}; copy or export the file again"
            )

    def read(self, box: Box) -> NDArray[Any]:
        """Read a box of (z, y, x)."""
        sections, rows, columns = (box[self._axes.index(place)] for place in range(3))
        values: NDArray[Any]
        if self._halves:
            values = _halves(self._read(sections, rows, slice(columns.start // 2, -(-columns.stop // 2))))
            first = columns.start % 2
            values = values[..., first : first + columns.stop - columns.start]
        else:
            values = self._read(sections, rows, columns)
        if not self._dtype.isnative:
            values = values.byteswap(inplace=True).view(self._dtype.newbyteorder("="))
        if self._scale is not None:
            values = values * np.float64(self._scale[0]) + np.float64(self._scale[1])
        return values.transpose(self._axes)

    def _read(self, sections: slice, rows: slice, columns: slice) -> NDArray[Any]:
        height, width = self._stored[1:]
        shape = (sections.stop - sections.start, rows.stop - rows.start, columns.stop - columns.start)
        values = np.empty(shape, self._dtype)
        if shape[1:] == (height, width):
            self._fill(values, sections.start, 0, 0)
        elif shape[2] == width:
            for place, section in enumerate(range(sections.start, sections.stop)):
                self._fill(values[place], section, rows.start, 0)
        elif (width - shape[2]) * self._dtype.itemsize <= LARGEST_GAP:
            band = np.empty((shape[1], width), self._dtype)
            run = band.reshape(-1)[: (shape[1] - 1) * width + shape[2]]
            for place, section in enumerate(range(sections.start, sections.stop)):
                self._fill(run, section, rows.start, columns.start)
                values[place] = band[:, : shape[2]]
        else:
            for place, section in enumerate(range(sections.start, sections.stop)):
                for line, row in enumerate(range(rows.start, rows.stop)):
                    self._fill(values[place, line], section, row, columns.start)
        return values

    def _fill(self, values: NDArray[Any], section: int, row: int, column: int) -> None:
        place = (section * self._stored[1] + row) * self._stored[2] + column
        self._contents.read_into(values, self._offset + place * self._dtype.itemsize)

    def mapped(self) -> NDArray[Any]:
        """Map an unpacked file of plain values into memory, (z, y, x), of the file's byte order."""
        return np.memmap(self._contents.path, self._dtype, "r", self._offset, self._stored).transpose(self._axes)


def _halves(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take bytes (…, n) apart into values 0 to 15, (…, 2 n), the low half first."""
    values = np.empty((*packed.shape[:-1], 2 * packed.shape[-1]), np.uint8)
    np.bitwise_and(packed, 15, out=values[..., ::2])
    np.right_shift(packed, 4, out=values[..., 1::2])
    return values
