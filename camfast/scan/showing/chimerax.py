"""A script for ChimeraX: the density as three planes, the map as a surface, picks as markers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from camfast._text import printable
from camfast.errors import InputError
from camfast.scan.showing.viewing import Output, Picked, stretch
from camfast.scan.volumes import Triple, Volume

MARK = "# camfast view"
"""The first words of every script: a file with them is one of these."""
MOST_MARKERS = 1000
MAP_COLOR, PICK_COLOR = "orange", "cyan"


def chimerax_script(
    output: Output, index: int, cam: Path, density: tuple[Volume, Path] | None, level: float | None = None
) -> str:
    """Write the commands that open a map and its density in ChimeraX.

    Parameters
    ----------
    output
        What a scan wrote.
    index
        Which of its maps.
    cam
        The MRC file of that map.
    density
        What was scanned, and the MRC file that holds it.
    level
        Of the map's surface; None is half of what `Output.limits` gives.

    Returns
    -------
    str
        A ``.cxc`` script, whose lengths are in ångström and whose triples are (x, y, z).

    Raises
    ------
    InputError
        If the name of a file holds what would end a command.
    """
    lines = [f"{MARK}: {_harmless(output.names[index])} in {_harmless(cam.name)}"]
    place = _placed(output.voxel_angstrom, output.translation)
    if density is not None:
        volume, path = density
        low, high = stretch(volume)
        middle = ",".join(str(length // 2) for length in volume.shape[::-1])
        lines += [
            f"open {_quoted(path)} format mrc id 1",
            *(f"volume #1 {one}" for one in place),
            f"volume #1 orthoplanes xyz positionPlanes {middle}",
            f"volume #1 level {low:g},0 level {high:g},1 color black color white",
        ]
    if level is None:
        low, high = output.limits(index)
        level = high / 2 or low / 2
    lines += [
        f"open {_quoted(cam)} format mrc id 2",
        *(f"volume #2 {one}" for one in place),
        f"volume #2 style surface level {level:g} color {MAP_COLOR}",
        "transparency #2 40",
        *_markers(output, [one for one in output.picks() if output.owns(one, index)]),
        "view",
    ]
    return "\n".join(lines) + "\n"


def _placed(voxel_angstrom: Triple | None, translation: Triple) -> list[str]:
    """Say where the voxels lie, as a header may be wrong that a person corrected for the scan."""
    if voxel_angstrom is None:
        return []
    return [f"voxelSize {_triple(voxel_angstrom)}", f"origin {_triple(translation)}"]


def _markers(output: Output, picks: Sequence[Picked]) -> list[str]:
    if output.voxel_angstrom is None:
        return []
    radius = 0.25 * min(output.window or output.shape) * min(output.voxel_angstrom)
    return [
        f"marker #3 position {_triple(place + np.array(output.translation))} radius {radius:g} color {PICK_COLOR}"
        for one in picks
        for place in one.position[:MOST_MARKERS]
    ] + (["transparency #3 50"] if any(len(one.position) for one in picks) else [])


def _triple(zyx: Sequence[float] | np.ndarray) -> str:
    return ",".join(f"{float(length):.7g}" for length in list(zyx)[::-1])


def _harmless(text: str) -> str:
    """A text for a comment: ChimeraX would run what stands behind a line break or a semicolon."""
    return printable(text).replace(";", ",")


def _quoted(path: Path) -> str:
    if printable(str(path.absolute())) != str(path.absolute()):
        raise InputError(
            f"{path}: the name holds control characters, which a script of ChimeraX has no place for; rename it"
        )
    text = str(path.absolute()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
