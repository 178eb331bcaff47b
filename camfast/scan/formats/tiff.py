"""TIFF stacks, of ImageJ and others."""

import math
import re
import struct
from pathlib import Path
from typing import Any

from camfast._extras import require
from camfast._foreign import foreign
from camfast.errors import InputError
from camfast.scan.formats.chunked import ChunkedArray
from camfast.scan.formats.contents import open_contents
from camfast.scan.formats.packing import LARGEST_RATIO
from camfast.scan.formats.raw import RawArray
from camfast.scan.formats.tiff_pages import ADVICE, Pages
from camfast.scan.volumes import Volume, angstrom_per, check_axes, checked, known_voxel_size

# What tifffile logs where it goes on with fewer pages than the file had, or drops the axes that the file names.
_LOST = re.compile(r"TiffPages @|series (metadata|failed|shape|contains)")
_SIZES = re.compile(rb'Size[XYZCT]="(\d+)"')


def read_tiff(path: Path) -> Volume:
    """Read a TIFF stack; its voxel size where ImageJ metadata give one for all three axes.

    The values are read when they are sliced: where they lie one after the other in the file directly, else page by
    page.

    Raises
    ------
    InputError
        If the file is damaged or no TIFF, has pages of several shapes, or other axes than (z, y, x).
    """
    tifffile = require("tifffile", "scan", "reading TIFF files")
    with foreign(f"{path}: cannot be read as TIFF", ADVICE, "tifffile") as said, tifffile.TiffFile(path) as file:
        data, metadata = _data(path, file, _count(path, file)), file.imagej_metadata or {}
        tags = file.pages[0].tags
        density = [tags[name].value if name in tags else None for name in ("YResolution", "XResolution")]
        if lost := next((text for text in said if _LOST.search(text)), None):
            raise InputError(f"{path}: damaged, or pages are missing ({lost}); {ADVICE}")
    unit = angstrom_per(metadata.get("unit"))
    sizes = [_number(metadata.get("spacing")), *map(_edge, density)]
    return checked(Volume(data, known_voxel_size([size * unit for size in sizes]), path=path))


def _count(path: Path, file: Any) -> int:
    """Number of pages, each of which names the next, counted before they are all looked at: they may go round."""
    form, handle = file.tiff, file.filehandle
    place, seen = file.pages.first.offset, set[int]()
    while place and place not in seen:
        seen.add(place)
        handle.seek(place)
        (count,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
        handle.seek(place + form.tagnosize + count * form.tagsize)
        (place,) = struct.unpack(form.offsetformat, handle.read(form.offsetsize))
    if place:
        raise InputError(f"{path}: damaged: page {len(seen) - 1} is followed by one that came before it; {ADVICE}")
    return len(seen)


def _number(value: Any) -> float:
    """A number of the metadata, 0 where it is none."""
    return float(value) if isinstance(value, int | float) else 0.0


def _edge(density: Any) -> float:
    """Length of a pixel from pixels per length, as a fraction; 0 where there is none."""
    high, low = density if isinstance(density, tuple) and len(density) == 2 else (0, 0)
    return low / high if high else 0.0


def _data(path: Path, file: Any, count: int) -> Any:
    if file.is_ome:  # before a list is made with an entry for each page that it promises
        sizes = [int(size) for size in _SIZES.findall(file.pages[0].description.encode(errors="replace"))]
        if math.prod(sizes[:5]) > LARGEST_RATIO * file.filehandle.size:
            raise InputError(f"{path}: its metadata promise {math.prod(sizes[:5]):,} values and the file is too small "
                             f"for that, {file.filehandle.size:,} bytes; {ADVICE}")  # fmt: skip
    series = file.series[0]
    check_axes(str(path), series.shape)
    depth, height, width = (int(count) for count in series.shape)
    if series.axes[-1] == "S":
        raise InputError(f"{path}: an image of {width} colours, expected a volume (z, y, x) of grey values")
    if len(series.pages) != count and series.kind.lower() in ("generic", "uniform", "shaped"):
        raise InputError(
            f"{path}: has {count} pages, of which {len(series.pages)} are of {height} × {width} pixels and others are "
            "not; export the pages of the volume alone"
        )
    if series.dataoffset is not None:
        dtype = series.dtype.newbyteorder(file.byteorder)
        return RawArray(open_contents(path), (depth, height, width), dtype, offset=series.dataoffset)
    whole = len(series.pages) != depth or tuple(series.pages[0].shape) != (height, width)
    pages = Pages(path, (depth, height, width) if whole else (height, width))
    if whole:  # one page holds it
        return pages.whole()
    first = pages((0, 0, 0))  # a compression that is not known here shows now
    return ChunkedArray(pages, (depth, height, width), (1, height, width), first.dtype)
