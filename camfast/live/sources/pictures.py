"""Pictures and volumes from files that may not be finished."""

import logging
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast._pictures import FORMATS
from camfast.errors import MissingExtraError
from camfast.live.frames import BrokenFrameError, checked
from camfast.scan.files import MRC_ENDINGS, ending_of, read_volume
from camfast.scan.formats.em import read_em
from camfast.scan.formats.mrc import read_sections

PACKED = ("I;16", "I;16B", "I;16L", "I", "F", "L", "RGB", "RGBA")  # modes of pillow that are arrays as they are
# What readers raise on files that are cut off at any byte; InputError is a ValueError.
DAMAGES = (
    ArithmeticError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


class UnfinishedError(BrokenFrameError):
    """A file can't be read as it is now: damaged, or still being written."""


def read_picture(path: Path, *, volume: bool) -> NDArray[Any]:
    """Read the last page of a file, or all of its pages as a volume.

    Parameters
    ----------
    path
        A file whose ending is one of `READERS`.
    volume
        Whether the pages are a volume (D, H, W); a file of one page is a picture all the same.

    Returns
    -------
    ndarray
        As `camfast.live.frames.checked` makes it.

    Raises
    ------
    UnfinishedError
        If it can't be read as it is now.
    BrokenFrameError
        If it can be read, and isn't a picture or volume.
    FileNotFoundError
        If it isn't there.
    """
    try:
        return checked(READERS[ending_of(path)](path, volume), volume=volume, what=path.name)
    except FileNotFoundError:
        raise
    except MissingExtraError as error:
        raise BrokenFrameError(f"{path.name}: {error}") from None
    except DAMAGES as error:
        reason = str(error).removeprefix(f"{path}: ") or type(error).__name__
        raise UnfinishedError(f"{path.name} can't be read: {reason}") from error


def _tiff(path: Path, volume: bool) -> Any:
    tifffile = require("tifffile", "live", "reading TIFF files")
    with _silent("tifffile"), tifffile.TiffFile(path) as file:
        page = file.pages[-1]
        if volume and len(file.pages) > 1:
            return _all(path)
        ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if not ends or max(ends) > file.filehandle.size:
            raise ValueError(f"truncated: {file.filehandle.size:,} bytes, expected {max(ends, default=0):,} or more")
        try:
            data = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            return _pillow(path, volume)  # which unpacks LZW itself
        return np.moveaxis(data, 0, -1) if page.axes.startswith("S") else data  # planes of colour


def _pillow(path: Path, volume: bool) -> Any:  # noqa: ARG001 - the formats that come here hold pictures
    image = require("PIL.Image", "live", "reading pictures")
    with image.open(path, formats=FORMATS) as picture:
        picture.seek(getattr(picture, "n_frames", 1) - 1)
        colours = "L" if picture.mode in ("1", "LA") else "RGB"
        return np.array(picture if picture.mode in PACKED else picture.convert(colours))


def _mrc(path: Path, volume: bool) -> Any:
    sections = read_sections(path)
    if volume and sections.shape[0] > 1:
        return _all(path)
    return sections[sections.shape[0] - 1]


def _em(path: Path, volume: bool) -> Any:
    data = read_em(path).data
    return np.asarray(data) if volume and data.shape[0] > 1 else data[data.shape[0] - 1]


def _all(path: Path) -> NDArray[Any]:
    return np.asarray(read_volume(path).data)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keep a logger from saying what an error says, of what this thread does."""
    thread, logger = threading.get_ident(), logging.getLogger(name)

    def others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(others)
    try:
        yield
    finally:
        logger.removeFilter(others)


READERS: dict[str, Callable[[Path, bool], Any]] = {
    **dict.fromkeys((".tif", ".tiff"), _tiff),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp"), _pillow),
    **dict.fromkeys(MRC_ENDINGS, _mrc),
    ".em": _em,
}
