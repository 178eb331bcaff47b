"""NIfTI (.nii, .nii.gz)."""

from pathlib import Path

from camfast._extras import require
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
    try:
        image = nibabel.load(path)
        header, stored = image.header, image.dataobj
        # Slope and intercept are taken out of the header when an image is made of it; its data knows them.
        layout = tuple(stored.shape), stored.dtype, int(stored.offset), float(stored.slope), float(stored.inter)
        unit, zooms = angstrom_per(header.get_xyzt_units()[0]), header.get_zooms()[:3]
    except (nibabel.filebasedimages.ImageFileError, AttributeError, ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: cannot be read as NIfTI ({error}); copy or export the file again") from None
    shape, dtype, offset, slope, inter = layout
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    check_axes(str(path), shape[::-1])
    scale = None if (slope, inter) == (1.0, 0.0) else (slope, inter)
    data = RawArray(open_contents(path), (shape[2], shape[1], shape[0]), dtype, offset=offset, scale=scale)
    return checked(Volume(data, known_voxel_size([float(zoom) * unit for zoom in zooms[::-1]]), path=path))
