"""Formats that are only read: EM, TIFF stacks and NIfTI."""

from pathlib import Path

import numpy as np

from camfast._extras import require
from camfast.errors import InputError
from camfast.scan.volumes import Volume, angstrom_per, checked, known_voxel_size

EM_HEADER_BYTES = 512
EM_TYPES = {1: "i1", 2: "i2", 4: "i4", 5: "f4", 8: "c8", 9: "f8"}
EM_BIG_ENDIAN = {0, 3, 5}


def read_em(path: Path) -> Volume:
    """Read an EM file (TOM and PyTom toolboxes) as a memory map; its header has no agreed place for the voxel size.

    Raises
    ------
    InputError
        If the file is truncated or no EM file.
    """
    head = path.read_bytes()[:EM_HEADER_BYTES] if path.stat().st_size < EM_HEADER_BYTES else _first_bytes(path)
    if len(head) < EM_HEADER_BYTES or head[3] not in EM_TYPES:
        raise InputError(f"{path}: not an EM file; export the volume as EM or MRC, float32")
    order = ">" if head[0] in EM_BIG_ENDIAN else "<"
    x, y, z = (int(count) for count in np.frombuffer(head, order + "i4", count=3, offset=4))
    dtype = np.dtype(order + EM_TYPES[head[3]])
    if min(x, y, z) <= 0:
        raise InputError(f"{path}: not an EM file, or empty: its header gives the size ({z}, {y}, {x})")
    expected = EM_HEADER_BYTES + x * y * z * dtype.itemsize
    if path.stat().st_size < expected:
        raise InputError(
            f"{path}: truncated: the header promises {expected:,} bytes and there are {path.stat().st_size:,}; "
            "copy or export the file again"
        )
    return checked(Volume(np.memmap(path, dtype, "r", EM_HEADER_BYTES, (z, y, x)), path=path))


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(EM_HEADER_BYTES)


def read_tiff(path: Path) -> Volume:
    """Read a TIFF stack; its voxel size where ImageJ or OME metadata give one for all three axes.

    Raises
    ------
    InputError
        If the file is damaged or no TIFF, or has other axes than (z, y, x).
    """
    tifffile = require("tifffile", "scan", "reading TIFF files")
    try:
        with tifffile.TiffFile(path) as file:
            page, metadata = file.pages[0], file.imagej_metadata or {}
            data = file.asarray()
            density = [page.tags[name].value for name in ("YResolution", "XResolution") if name in page.tags]
    except (tifffile.TiffFileError, ValueError, IndexError, MemoryError, OSError) as error:
        raise InputError(f"{path}: cannot be read as TIFF ({error}); export it again, or as MRC") from None
    unit = angstrom_per(metadata.get("unit"))
    sizes = [float(metadata.get("spacing", 0.0)), *(low / high if high else 0.0 for high, low in density)]
    voxel = known_voxel_size([size * unit for size in sizes]) if len(sizes) == 3 else None
    return checked(Volume(data, voxel, path=path))


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI file (.nii, .nii.gz), stored (x, y, z), as (z, y, x); values scaled as its header says.

    The orientation matrix is not applied: axes are reversed, never flipped or rotated.

    Raises
    ------
    InputError
        If the file is damaged or no NIfTI file, or holds several volumes.
    """
    nibabel = require("nibabel", "scan", "reading NIfTI files")
    try:
        image = nibabel.load(path)
        data = np.asarray(image.dataobj)
    except (nibabel.filebasedimages.ImageFileError, ValueError, EOFError, MemoryError, OSError) as error:
        raise InputError(f"{path}: cannot be read as NIfTI ({error}); copy or export the file again") from None
    unit = angstrom_per(image.header.get_xyzt_units()[0])
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    sizes = [float(size) * unit for size in image.header.get_zooms()[:3]]
    voxel = known_voxel_size(sizes[::-1]) if len(sizes) == 3 else None
    return checked(Volume(data.transpose(), voxel, path=path))
