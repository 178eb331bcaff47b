"""Reading and writing volumes: which format a file has, and which one it gets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from camfast._extras import require
from camfast.errors import InputError
from camfast.scan.formats.em import read_em
from camfast.scan.formats.mrc import read_mrc
from camfast.scan.formats.mrc_writer import write_mrc
from camfast.scan.formats.nifti import read_nifti
from camfast.scan.formats.ome_zarr import is_store, read_ome_zarr
from camfast.scan.formats.ome_zarr_writer import write_ome_zarr
from camfast.scan.formats.tiff import read_tiff
from camfast.scan.unchanged import State
from camfast.scan.volumes import Volume, volume_of

MRC_ENDINGS = (".mrc", ".mrcs", ".map", ".rec", ".st", ".ali", ".ccp4")
COMPRESSED = (".gz", ".bz2")
READERS: dict[str, Callable[[Path], Volume]] = {
    **dict.fromkeys(MRC_ENDINGS, read_mrc),
    **{ending + packed: read_mrc for ending in MRC_ENDINGS for packed in COMPRESSED},
    ".em": read_em,
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".nii": read_nifti,
    ".nii.gz": read_nifti,
    ".zarr": read_ome_zarr,
}


def is_volume_file(path: str | Path) -> bool:
    """Whether the name is that of a format for volumes; a TIFF may hold either and counts as an image."""
    return ending_of(Path(path)) in set(READERS) - {".tif", ".tiff"}


def read_volume(source: Any) -> Volume:
    """Read a volume, its axes brought to (z, y, x).

    Parameters
    ----------
    source
        A path to MRC (also .rec, .map, .st; gzip, bzip2), EM, TIFF, NIfTI or OME-Zarr (0.4, 0.5; level 0); an array
        or tensor (z, y, x); or a `Volume`, returned as it is.

    Returns
    -------
    Volume
        Its ``data`` of the file's own type, read from the file where it is sliced and not before.

    Raises
    ------
    InputError
        If the file is missing, of an unknown format, damaged or truncated, or not one volume of real numbers. Values
        are not read here: NaN is found when they are used.

    Examples
    --------
    >>> volume = read_volume(torch.zeros(4, 5, 6))
    >>> volume.shape
    (4, 5, 6)
    """
    if isinstance(source, Volume):
        return source
    if not isinstance(source, str | Path):
        return volume_of(source)
    path = Path(source)
    ending = ".zarr" if is_store(path) else ending_of(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the name")
    if ending not in READERS:
        raise InputError(f"{path}: unknown kind of volume; give MRC (.mrc, .rec, .map), .em, .tif, .nii or .zarr")
    if path.is_dir() != (ending == ".zarr"):
        found, expected = ("a folder", "a file") if path.is_dir() else ("a file", "a folder")
        raise InputError(f"{path}: is {found}, expected {expected} of this name")
    try:
        # of a folder of many files it would take long, and its values are read later
        state = None if path.is_dir() else State.of(path)
        return replace(READERS[ending](path), state=state)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the file and its rights") from None


def ending_of(path: Path) -> str:
    """Ending of a name in small letters, that of the compression with it, such as ``.mrc`` or ``.nii.gz``."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:]) if suffixes and suffixes[-1] in COMPRESSED else (suffixes or [""])[-1]


def output_format(path: Path, *, channels: bool = False) -> str:
    """Return ``"mrc"`` or ``"zarr"``, by the ending of an output's name.

    Raises
    ------
    InputError
        If the ending is of neither, or several volumes are to go into one MRC file.
    """
    ending = path.suffix.lower()
    if ending == ".zarr":
        return "zarr"
    if ending not in (".mrc", ".map", ".rec"):
        raise InputError(f"{path}: unknown kind of output; give a name that ends in .mrc or .zarr")
    if channels:
        raise InputError(f"{path}: an MRC file holds one volume, and several targets are asked for; write to .zarr")
    return "mrc"


def write_volumes(
    path: str | Path,
    volumes: Iterable[Any],
    like: Volume,
    *,
    channels: int | Sequence[str] | None = None,
    attributes: Mapping[str, Any] | None = None,
    dtype: str = "float32",
) -> None:
    """Write one volume (z, y, x), or several as channels (c, z, y, x), as ``dtype`` placed in space like another.

    ``channels`` is the number of channels or their names, which OME-Zarr keeps; None for one volume without the axis.
    The format is that of the name's ending. ``attributes`` say how the volume came about, what matters most first: they
    are stored beside the OME-Zarr metadata; or in the MRC header's labels, as many as have room.
    `camfast.read_provenance` reads them back.

    Examples
    --------
    >>> import tempfile
    >>> volume = read_volume(torch.ones(4, 5, 6))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_volumes(f"{folder}/half.mrc", [volume.data * 0.5], volume)
    ...     read_volume(f"{folder}/half.mrc").shape
    (4, 5, 6)
    """
    path = Path(path)
    if output_format(path, channels=channels is not None) == "zarr":
        write_ome_zarr(path, volumes, like, channels=channels, attributes=attributes, dtype=dtype)
    else:
        (volume,) = volumes
        write_mrc(path, volume, like, attributes, dtype)


def open_written(path: Path) -> Any:
    """Open what `write_volumes` wrote, float32 (z, y, x) or (c, z, y, x), without reading it all."""
    if output_format(path) == "mrc":
        return read_mrc(path).data.mapped()
    return require("zarr", "scan", "reading OME-Zarr").open_array(str(path / "0"), mode="r")
