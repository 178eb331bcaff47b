"""The files of ``camfast scan``: which tomograms are read, and under which names their maps are written."""

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from camfast._text import printable
from camfast.errors import InputError

if TYPE_CHECKING:
    from camfast.scan import Volume
    from camfast.scan.lists import Tomogram


def output_names(pattern: str, tomograms: "list[Tomogram]") -> list[Path]:
    """Give each tomogram its output, ``{name}`` standing for the tomogram's name without ending.

    Raises
    ------
    InputError
        If several tomograms would be written under one name, something else than ``{name}`` is in braces, or a name
        that a list gives would lead to another folder.
    """
    if unknown := re.search(r"\{[^{}]*\}", pattern.replace("{name}", "")):
        raise InputError(f"-o {pattern}: {unknown[0]} stands for nothing; only {{name}}, the tomogram's name, does")
    for tomogram in tomograms if "{name}" in pattern else ():
        if not _is_plain(tomogram.name):
            raise InputError(
                f"-o {pattern}: a tomogram is called {tomogram.name!r}, and an output of this name would lie elsewhere "
                "or could not be named again; call it otherwise in the list, or give -o without {name}"
            )
    outputs = [Path(pattern.replace("{name}", tomogram.name)) for tomogram in tomograms]
    if len(set(outputs)) < len(outputs):
        wrong = "two tomograms have the same name" if "{name}" in pattern else "there are several tomograms"
        raise InputError(f"-o {pattern}: {wrong}, and each needs its own output; write -o 'FOLDER/{{name}}.zarr'")
    return outputs


def _is_plain(name: str) -> bool:
    """Whether a name, which a list of somebody else may give, is that of a file and nothing more."""
    return bool(name) and printable(name) == name and not set(name) & set("/\\")


def check_outputs(
    tomograms: "list[Tomogram]", outputs: list[Path], done: list[Path], options: argparse.Namespace
) -> None:
    """Make sure that outputs can be written, before anything is computed.

    Raises
    ------
    InputError
        If one has an unknown ending, is a tomogram, or exists and is not among ``done``.
    """
    from camfast.scan.files import output_format
    from camfast.scan.tasks.staging import Staging

    inputs = {tomogram.path.resolve() for tomogram in tomograms}
    for path in outputs:
        output_format(path)
        if path.resolve() in inputs:
            raise InputError(f"-o {path}: is a tomogram that is scanned; write the result under another name")
        if path in done:
            Staging(path).tidy()
        else:
            Staging(path).check(overwrite=options.overwrite)


def volume_of(tomogram: "Tomogram", apix: float | None, model_apix: float | None) -> "Volume":
    """Open a tomogram, with the voxel size of the command line or of a list over the header's.

    Raises
    ------
    InputError
        If it cannot be read, or its voxel size is not the model's.
    """
    from camfast.scan import read_volume
    from camfast.scan.volumes import check_voxel_size

    for flag, value in (("--apix", apix), ("--model-apix", model_apix)):
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{flag} is {value:g}, expected a voxel size in ångström")
    volume = replace(read_volume(tomogram.path), tomogram=tomogram.name)
    size = tomogram.voxel_angstrom if apix is None else apix
    if size is not None:
        volume = replace(volume, voxel_angstrom=(size, size, size))
    check_voxel_size(volume, model_apix)
    return volume
