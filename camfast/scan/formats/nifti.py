"""NIfTI (.nii, .nii.gz)."""

from pathlib import Path
from typing import Any

from camfast._extras import require
from camfast._foreign import foreign
from camfast.errors import InputError
from camfast.scan.formats.contents import open_contents
from camfast.scan.formats.raw import RawArray
from camfast.scan.volumes import Volume, angstrom_per, check_axes, checked, known_voxel_size


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI file, stored (x, y, z), as (z, y, x), its values when they are sliced, scaled as its header says.

    The orientation matrix is not applied: axes are reversed, never flipped or rotated.

    Raises
    ------
    InputError
        If the file is damaged or no NIfTI file, or holds several volumes.
    """
    nibabel = require("nibabel", "scan", "reading NIfTI files")
    contents = open_contents(path)
    # the header alone: room would be made for extensions behind it, whatever their length
    head = contents.head(nibabel.Nifti2Header.sizeof_hdr)
    version2 = nibabel.Nifti2Header.sizeof_hdr in (int.from_bytes(head[:4], order) for order in ("little", "big"))
    kind = nibabel.Nifti2Header if version2 else nibabel.Nifti1Header
    with foreign(f"{path}: cannot be read as NIfTI", "copy or export the file again", "nibabel.global") as said:
        header = kind(head[: kind.sizeof_hdr])
        shape, dtype = tuple(int(n) for n in header.get_data_shape()), header.get_data_dtype()
        slope, inter = (float(n) for n in (header.get_slope_inter()[0] or 1.0, header.get_slope_inter()[1] or 0.0))
        offset = int(header.get_data_offset())
        # where an edge is 0, nibabel takes 1, and says so
        unit = 0.0 if any("non-zero" in text for text in said) else _unit(header)
        zooms = header.get_zooms()[:3]
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    check_axes(str(path), shape[::-1])
    if min(shape) <= 0:
        raise InputError(f"{path}: empty, or damaged: its header gives the shape {shape[::-1]}; export it again")
    scale = None if (slope, inter) == (1.0, 0.0) else (slope, inter)
    data = RawArray(contents, (shape[2], shape[1], shape[0]), dtype, offset=offset, scale=scale)
    return checked(Volume(data, known_voxel_size([float(zoom) * unit for zoom in zooms[::-1]]), path=path))


def _unit(header: Any) -> float:
    """Ångström in the header's unit of length, 0 where it names none that is known."""
    try:
        return angstrom_per(header.get_xyzt_units()[0])
    except KeyError:
        return 0.0
