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
    with foreign(f"{path}: cannot be read as NIfTI", "copy or export the file again", "nibabel.global"):
        image = nibabel.load(path)
        header, stored = image.header, image.dataobj
        # Slope and intercept are taken out of the header when an image is made of it; its data knows them.
        layout = tuple(stored.shape), stored.dtype, int(stored.offset), float(stored.slope), float(stored.inter)
        unit, zooms = _unit(header), header.get_zooms()[:3]
    shape, dtype, offset, slope, inter = layout
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    check_axes(str(path), shape[::-1])
    if min(shape) <= 0:
        raise InputError(f"{path}: empty, or damaged: its header gives the shape {shape[::-1]}; export it again")
    scale = None if (slope, inter) == (1.0, 0.0) else (slope, inter)
    data = RawArray(open_contents(path), (shape[2], shape[1], shape[0]), dtype, offset=offset, scale=scale)
    return checked(Volume(data, known_voxel_size([float(zoom) * unit for zoom in zooms[::-1]]), path=path))


def _unit(header: Any) -> float:
    """Ångström in the header's unit of length, 0 where it names none that is known."""
    try:
        return angstrom_per(header.get_xyzt_units()[0])
    except KeyError:
        return 0.0
