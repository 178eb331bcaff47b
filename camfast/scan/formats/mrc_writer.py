"""Writing MRC (.mrc, .map, .rec)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from camfast._extras import require
from camfast._version import __version__
from camfast.scan.volumes import Triple, Volume

LABELS, LABEL_WIDTH = 10, 80


def write_mrc(path: Path, data: Any, like: Volume, labels: Sequence[str] = ()) -> None:
    """Write a volume (z, y, x) as float32 with the voxel size, origin and start of another.

    An unknown voxel size is written as 0. The header holds the given labels and no time, so that a repeated run
    gives the same bytes.
    """
    mrcfile = require("mrcfile", "scan", "writing MRC files")
    with mrcfile.new(path) as file:
        file.set_data(np.asarray(data, dtype=np.float32))
        file.set_volume()
        file.voxel_size = _reversed(like.voxel_angstrom or (0.0, 0.0, 0.0))
        file.nstart = like.start[::-1]
        file.header.origin = np.array(_reversed(like.origin), dtype=file.header.origin.dtype)
        lines = [f"camfast {__version__}", *labels][:LABELS]
        for index in range(LABELS):
            line = lines[index].encode("ascii", "replace")[:LABEL_WIDTH] if index < len(lines) else b""
            file.header.label[index] = line
        file.header.nlabl = len(lines)


def _reversed(triple: Triple) -> Triple:
    z, y, x = triple
    return x, y, z
