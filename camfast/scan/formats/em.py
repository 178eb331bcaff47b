"""EM, the format of the TOM and PyTom toolboxes."""

from pathlib import Path

import numpy as np

from camfast.errors import InputError
from camfast.scan.formats.contents import open_contents
from camfast.scan.formats.raw import RawArray
from camfast.scan.volumes import Volume, checked

HEADER_BYTES = 512
TYPES = {1: "i1", 2: "i2", 4: "i4", 5: "f4", 8: "c8", 9: "f8"}
BIG_ENDIAN = {0, 3, 5}  # OS-9, SGI, Mac


def read_em(path: Path) -> Volume:
    """Read an EM file, its values when they are sliced; its header has no agreed place for the voxel size.

    Raises
    ------
    InputError
        If the file is truncated, no EM file, or holds complex values.
    """
    contents = open_contents(path)
    head = contents.head(HEADER_BYTES)
    if len(head) < HEADER_BYTES or head[3] not in TYPES:
        raise InputError(f"{path}: not an EM file; export the volume as EM or MRC, float32")
    order = ">" if head[0] in BIG_ENDIAN else "<"
    x, y, z = (int(count) for count in np.frombuffer(head, order + "i4", count=3, offset=4))
    if min(x, y, z) <= 0:
        raise InputError(f"{path}: not an EM file, or empty: its header gives the size ({z}, {y}, {x})")
    return checked(Volume(RawArray(contents, (z, y, x), order + TYPES[head[3]], offset=HEADER_BYTES), path=path))
