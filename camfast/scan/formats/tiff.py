"""TIFF stacks, of ImageJ and others."""

import threading
import weakref
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.errors import InputError
from camfast.scan.formats.chunked import ChunkedArray
from camfast.scan.formats.contents import open_contents
from camfast.scan.formats.lazy import Shape
from camfast.scan.formats.raw import RawArray
from camfast.scan.volumes import Volume, angstrom_per, check_axes, checked, known_voxel_size


def read_tiff(path: Path) -> Volume:
    """Read a TIFF stack; its voxel size where ImageJ metadata give one for all three axes.

    The values are read when they are sliced: where they lie one after the other in the file directly, else page by
    page.

    Raises
    ------
    InputError
        If the file is damaged or no TIFF, or has other axes than (z, y, x).
    """
    tifffile = require("tifffile", "scan", "reading TIFF files")
    try:
        with tifffile.TiffFile(path) as file:
            data, page, metadata = _data(path, file), file.pages[0], file.imagej_metadata or {}
            density = [page.tags[name].value for name in ("YResolution", "XResolution") if name in page.tags]
    except InputError:
        raise
    except (tifffile.TiffFileError, ValueError, IndexError, MemoryError, OSError) as error:
        raise InputError(f"{path}: cannot be read as TIFF ({error}); export it again, or as MRC") from None
    unit = angstrom_per(metadata.get("unit"))
    sizes = [float(metadata.get("spacing", 0.0)), *(low / high if high else 0.0 for high, low in density)]
    voxel = known_voxel_size([size * unit for size in sizes]) if len(sizes) == 3 else None
    return checked(Volume(data, voxel, path=path))


def _data(path: Path, file: Any) -> Any:
    series = file.series[0]
    check_axes(str(path), series.shape)
    depth, height, width = (int(count) for count in series.shape)
    if series.axes[-1] == "S":
        raise InputError(f"{path}: an image of {width} colours, expected a volume (z, y, x) of grey values")
    if series.dataoffset is not None:
        dtype = series.dtype.newbyteorder(file.byteorder)
        return RawArray(open_contents(path), (depth, height, width), dtype, offset=series.dataoffset)
    if len(series.pages) != depth or tuple(series.pages[0].shape) != (height, width):
        return file.asarray()  # one page holds the whole volume
    pages = _Pages(path)
    first = pages((0, 0, 0))  # a compression that is not known here shows now
    return ChunkedArray(pages, (depth, height, width), (1, height, width), first.dtype)


class _Pages:
    """Pages of a TIFF, unpacked one at a time: the file's position is shared."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        file = require("tifffile", "scan", "reading TIFF files").TiffFile(path)
        weakref.finalize(self, file.close)
        self._pages = file.series[0].pages

    def __reduce__(self) -> tuple[Any, ...]:
        return _Pages, (self._path.absolute(),)

    def __call__(self, index: Shape) -> NDArray[Any]:
        try:
            with self._lock:
                page = self._pages[index[0]].asarray()
        except (AttributeError, ValueError, RuntimeError, zlib.error, OSError) as error:
            raise InputError(
                f"{self._path}: page {index[0]} cannot be read ({error}); export it again without compression, "
                "or as MRC"
            ) from None
        return np.asarray(page)[None]
