"""Pages of a TIFF that have to be unpacked."""

import math
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast._foreign import foreign
from camfast.errors import InputError
from camfast.scan.formats.contents import open_contents
from camfast.scan.formats.lazy import Shape
from camfast.scan.formats.packing import LARGEST_RATIO, unpacks_beyond

ADVICE = "export it again without compression, or as MRC"
PACKERS = {8: "zlib", 32946: "zlib", 50013: "zlib", 34925: "lzma", 34926: "zstd", 50000: "zstd"}  # by numbers of TIFF
SMALL = 1 << 16  # bytes of packed padding that are not worth a look


class Pages:
    """Pages of a TIFF, unpacked one at a time: the file's position is shared.

    Parameters
    ----------
    path
        The file.
    shape
        What each page has to hold.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._path, self._shape = path, shape
        self._dtype: np.dtype[Any] | None = None
        self._lock, self._contents = threading.Lock(), open_contents(path)
        tifffile = require("tifffile", "scan", "reading TIFF files")
        with foreign(f"{path}: cannot be read as TIFF", ADVICE, "tifffile", warns=False):
            file = tifffile.TiffFile(path)
            weakref.finalize(self, file.close)
            self._pages = file.series[0].pages

    def __reduce__(self) -> tuple[Any, ...]:
        return Pages, (self._path.absolute(), self._shape)

    def __call__(self, index: Shape) -> NDArray[Any]:
        """Unpack the page of a section."""
        return self._page(index[0])[None]

    def whole(self) -> NDArray[Any]:
        """Unpack the first page, which holds all sections."""
        if len(self._pages) != 1:
            raise InputError(
                f"{self._path}: {len(self._pages)} pages, and they should hold {self._shape} values; {ADVICE}"
            )
        return self._page(0)

    def _page(self, number: int) -> NDArray[Any]:
        with self._lock, foreign(
            f"{self._path}: page {number} cannot be read", ADVICE, "tifffile", warns=False
        ):  # fmt: skip
            page = self._pages[number]
            self._check(number, page)
            values = np.asarray(page.asarray())
        if math.prod(values.shape) != math.prod(self._shape) or values.dtype != (self._dtype or values.dtype):
            raise InputError(
                f"{self._path}: page {number} holds {values.shape} values of {values.dtype}, expected {self._shape}; "
                f"{ADVICE}"
            )
        self._dtype = values.dtype
        return values.reshape(self._shape)

    def _check(self, number: int, page: Any) -> None:
        """Make sure that what a page claims is in the file, before room is made for it."""
        keyframe = page.keyframe
        segments, stored = math.prod(keyframe.chunked), sum(page.databytecounts)
        parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        outside = any(offset + count > self._contents.hold(0) for offset, count in parts)
        if len(parts) < segments or outside or keyframe.nbytes > LARGEST_RATIO * (stored + SMALL):
            raise InputError(
                f"{self._path}: page {number} promises {keyframe.nbytes:,} bytes in {segments} parts, and there are "
                f"{stored:,} in {len(parts)}{', some of them behind the end of the file' if outside else ''}; {ADVICE}"
            )
        limit = math.prod(keyframe.chunks) * keyframe.dtype.itemsize
        packer = PACKERS.get(int(keyframe.compression))
        if packer is None:
            return
        for offset, count in parts:
            packed = np.empty(count, np.uint8)
            self._contents.read_into(packed, offset)
            if unpacks_beyond(packer, packed.tobytes(), 2 * limit):
                raise InputError(f"{self._path}: page {number} unpacks to more than its {limit:,} bytes; {ADVICE}")
