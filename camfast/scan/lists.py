"""From what a person names — files, patterns, lists — to tomograms."""

import glob
import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from camfast._extras import require
from camfast._foreign import foreign, short
from camfast.errors import InputError
from camfast.scan.files import READERS, ending_of
from camfast.scan.formats.ome_zarr import is_store

NAME, PIXEL, BINNING = "_rlnTomoName", "_rlnTomoTiltSeriesPixelSize", "_rlnTomoTomogramBinning"
TOMOGRAM, DENOISED = "_rlnTomoReconstructedTomogram", "_rlnTomoReconstructedTomogramDenoised"
LISTS = (".star", ".txt")


@dataclass(frozen=True, slots=True)
class Tomogram:
    """A volume to be read.

    Parameters
    ----------
    path
        Where it lies.
    name
        What to call it: RELION's name of it, or the file's without its ending.
    voxel_angstrom
        Edge of a voxel in ångström where a list gives one, which then holds instead of the header's; else None.
    """

    path: Path
    name: str
    voxel_angstrom: float | None = None


def list_tomograms(sources: str | Path | Iterable[str | Path], *, denoised: bool = False) -> list[Tomogram]:
    """Find the tomograms that are meant, each once, in the order in which they are named.

    Parameters
    ----------
    sources
        One or several of: a volume; a pattern such as ``"tomograms/**/*.mrc"``, whose matches are sorted; a
        ``tomograms.star`` of RELION 5; a text file ``.txt`` with a path a line, where empty lines and those that start
        with ``#`` don't count. Paths in lists are relative to the current folder, or to that of the list, or to one of
        the folders above it, as RELION's project is.
    denoised
        Take the tomograms that RELION denoised, where a list has both.

    Raises
    ------
    InputError
        If a file is missing, a pattern matches no volume, or a list is damaged; the message names its row or line.

    References
    ----------
    .. [1] https://relion.readthedocs.io/en/release-5.0/Reference/STA/Datatypes/tomogram_set.html

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("TS_2.mrc", "TS_1.rec.gz", "notes.md"):
    ...         Path(folder, name).touch()
    ...     [tomogram.name for tomogram in list_tomograms(f"{folder}/*")]
    ['TS_1', 'TS_2']
    """
    found: dict[Path, Tomogram] = {}
    named = [sources] if isinstance(sources, str | Path) else list(sources)
    for source in named:
        for tomogram in _named(Path(source).expanduser(), denoised):
            found.setdefault(tomogram.path.resolve(), tomogram)
    if not found:
        where = "".join(f"{source}: " for source in named)
        raise InputError(f"{where}no tomogram is named; give a volume, a pattern such as 'tomograms/*.mrc', or a list")
    return list(found.values())


def _named(source: Path, denoised: bool) -> Iterator[Tomogram]:
    if source.is_dir() and ending_of(source) != ".zarr" and not is_store(source):
        raise InputError(f"{source}: is a folder; name the volumes in it, as '{source / '*.mrc'}'")
    if source.exists():
        yield from _read(source, denoised)
    elif glob.has_magic(str(source)):
        # Path.glob takes no pattern that starts at the root, and finds hidden files
        matches = [Path(match) for match in sorted(glob.glob(str(source), recursive=True))]  # noqa: PTH207
        lists = source.suffix.lower() in LISTS  # notes beside the volumes are no lists
        meant = [path for path in matches if ending_of(path) in READERS or (lists and path.is_file())]
        if not meant:
            others = f"{len(matches)} files match, none with the ending of a volume" if matches else "no file matches"
            raise InputError(f"{source}: {others}; check the pattern, and put it in quotes on a command line")
        for path in meant:
            yield from _read(path, denoised)
    else:
        raise InputError(f"{source}: no such file; check the name")


def _read(path: Path, denoised: bool) -> Iterator[Tomogram]:
    ending = path.suffix.lower()
    if ending == ".star":
        yield from _star(path, denoised)
    elif ending == ".txt":
        yield from _lines(path)
    else:
        yield Tomogram(path, name_of(path))


def name_of(path: Path) -> str:
    """Name of a volume's file without the ending of its format and ``.ome``.

    Examples
    --------
    >>> name_of(Path("raw/TS_01.v2.mrc.gz")), name_of(Path("TS_01.ome.zarr"))
    ('TS_01.v2', 'TS_01')
    """
    return path.name[: len(path.name) - len(ending_of(path))].removesuffix(".ome")


def _lines(path: Path) -> Iterator[Tomogram]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}); give a path a line") from None
    for number, line in enumerate(lines, 1):
        named = line.strip()
        if named and not named.startswith("#"):
            found = _find(named, path, f"line {number}")
            yield Tomogram(found, name_of(found))


def _star(path: Path, denoised: bool) -> Iterator[Tomogram]:
    cif = require("gemmi", "scan", "reading STAR files").cif
    job = "give the tomograms.star of a RELION 5 job"
    with foreign(f"{path}: no STAR file", job):
        document = cif.read_file(str(path))
    wanted = (DENOISED, TOMOGRAM) if denoised else (TOMOGRAM, DENOISED)
    columns = [NAME, *(f"?{column}" for column in (*wanted, PIXEL, BINNING))]
    tables = [table for block in document if (table := block.find(columns)).width() and len(table)]
    if not tables or not any(tables[0].has_column(place) for place in (1, 2)):
        raise InputError(
            f"{path}: no table with {NAME[1:]} and {TOMOGRAM[1:]}; {job} that reconstructs or denoises tomograms"
        )
    for number, row in enumerate(tables[0], 1):
        with foreign(f"{path}: row {number} is no text", job):
            name, *values = (row.str(place) if row.has(place) else "" for place in range(len(columns)))
        where = f"row {number} ({short(name)})"
        named = next((value for value in values[:2] if value and value != "None"), None)
        if named is None:
            raise InputError(f"{path}: {where}: no {wanted[0][1:]}; reconstruct it, or take the row out")
        pixel, binning = (_positive(text, f"{path}: {where}: {column[1:]}")
                          for text, column in zip(values[2:], (PIXEL, BINNING), strict=True))  # fmt: skip
        voxel = None if pixel is None or binning is None else float(f"{pixel * binning:.7g}")
        if voxel is not None and not 0 < voxel < math.inf:
            raise InputError(f"{path}: {where}: its voxel size is {voxel:g} ångström; correct pixel size and binning")
        yield Tomogram(_find(named, path, where), name, voxel)


def _positive(text: str, name: str) -> float | None:
    """Number of a table's cell, None where it is empty."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InputError(f"{name} is {short(text)!r}, expected a positive number; correct it, or take the column out")
    return value


def _find(named: str, source: Path, where: str) -> Path:
    """Find a path from a list: from the current folder, the list's, and the folders above that one."""
    folders = [Path(), source.parent, *source.absolute().parent.parents]
    for folder in folders:
        with suppress(OSError):  # a name that is too long for the disk, or a folder that may not be looked into
            if (folder / named).exists():
                return folder / named
    looked = "" if Path(named).is_absolute() else f", neither from {Path.cwd()} nor from {source.parent} or above it"
    raise InputError(
        f"{source}: {where}: {short(named)}: no such file{looked}; correct it, or start in the project's folder"
    )
