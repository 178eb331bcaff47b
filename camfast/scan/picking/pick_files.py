"""Picks as other programs read them: RELION-5 STAR and copick JSON."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast._text import printable
from camfast._whole import write_whole
from camfast.errors import InputError
from camfast.scan.picking.picks import Picks
from camfast.scan.volumes import Volume

VERSION = "# version 50001"
COLUMNS = (
    "TomoName",
    "TomoParticleName",
    "CoordinateX",
    "CoordinateY",
    "CoordinateZ",
    "CenteredCoordinateXAngst",
    "CenteredCoordinateYAngst",
    "CenteredCoordinateZAngst",
    "AutopickFigureOfMerit",
    "ClassNumber",
)
_RESERVED = re.compile(r"[_#$';\[\]]|(data_|loop_|global_|save_|stop_)|[?.]$", re.IGNORECASE)  # words of STAR itself
IDENTITY = np.eye(4).tolist()


def angstrom(picks: Picks, volume: Volume) -> NDArray[np.float64]:
    """Positions (P, 3), (z, y, x) in ångström from the centre of the tomogram's first voxel: index × voxel size.

    The origin in the tomogram's header plays no part: neither RELION nor copick knows it.

    Raises
    ------
    InputError
        If the voxel size is unknown.
    """
    if volume.voxel_angstrom is None:
        raise InputError(
            f"{volume.name}: its header gives no voxel size (0 or 1.0 means unknown), and picks are written in "
            "ångström; say the voxel size with --apix"
        )
    places: NDArray[np.float64] = picks.position * np.array(volume.voxel_angstrom)
    return places


def write_star(
    path: str | os.PathLike[str],
    picks: Picks,
    volume: Volume,
    tomogram: str,
    labels: Mapping[int, str] | Sequence[str] | None = None,
) -> None:
    """Write picks as particles of RELION 5, one row each in their order.

    ========================================  =====================================================================
    ``rlnTomoName``                           the tomogram, as ``tomograms.star`` calls it
    ``rlnTomoParticleName``                   ``tomogram/1``, ``tomogram/2``, …
    ``rlnCoordinateX``, ``Y``, ``Z``          in voxels of this tomogram, the first voxel being 0
    ``rlnCenteredCoordinateXAngst``, …        (index − N/2) × voxel size, N voxels along the axis: ångström from
                                              RELION's centre. RELION 5 goes by these, whatever the binning.
    ``rlnAutopickFigureOfMerit``              the map's value
    ``rlnClassNumber``                        index of the class + 1, as RELION counts from 1
    ========================================  =====================================================================

    There are no angles, which a map does not tell, and no table of optics groups: RELION takes these from its own
    ``tomograms.star`` when coordinates are imported. The names of the classes stand in comments.

    Parameters
    ----------
    path
        File to write, replaced as a whole.
    picks
        Of one tomogram.
    volume
        The tomogram: its shape and its voxel size count.
    tomogram
        Its name in RELION.
    labels
        Names of the classes by index.

    Raises
    ------
    InputError
        If the voxel size is unknown.
    MissingExtraError
        If gemmi is not installed.

    Examples
    --------
    >>> import tempfile
    >>> one = Picks(np.array([[5.0, 2.0, 3.0]]), np.ones(1, np.float32), np.zeros(1, int), np.ones(1, np.float32))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "picks.star")
    ...     write_star(path, one, Volume(np.zeros((8, 8, 8)), (10.0, 10.0, 10.0)), "TS_01", ["ball"])
    ...     print(path.read_text().splitlines()[-1])
    TS_01 TS_01/1 3.000 2.000 5.000 -10.000 -20.000 10.000 1 1
    """
    cif = require("gemmi.cif", "scan", "writing STAR files")
    centred = angstrom(picks, volume) - np.array(volume.shape) / 2 * np.array(volume.voxel_angstrom)
    document = cif.Document()
    loop = document.add_new_block("particles").init_loop("_rln", list(COLUMNS))
    for number, (voxels, from_centre, value, label) in enumerate(
        zip(picks.position, centred, picks.value, picks.label, strict=True), start=1
    ):
        names = [_star_word(tomogram), _star_word(f"{tomogram}/{number}")]
        places = [f"{round(float(length), 3) + 0.0:.3f}" for length in (*voxels[::-1], *from_centre[::-1])]
        loop.add_row([*names, *places, f"{float(value):.6g}", str(int(label) + 1)])
    known = dict(labels.items() if isinstance(labels, Mapping) else enumerate(labels or ()))
    classes = [
        f"# class {index + 1}: {printable(known[index])}" for index in sorted(set(picks.label.tolist()) & set(known))
    ]
    write_whole(Path(path), "\n".join(["", VERSION, *classes, "", document.as_string()]).encode())


def write_copick(
    path: str | os.PathLike[str],
    picks: Picks,
    volume: Volume,
    *,
    name: str,
    run: str,
    user: str = "camfast",
    session: str = "0",
) -> None:
    """Write picks of one class as a copick picks file; scores are the map's values.

    Points are in ångström, index × voxel size, unturned, and marked as not to be trusted in their orientation. copick
    looks for the file in ``ExperimentRuns/<run>/Picks`` under the name that `copick_name` gives.

    Parameters
    ----------
    path
        File to write, replaced as a whole.
    picks
        Of one class in one tomogram.
    volume
        The tomogram: its voxel size counts.
    name
        The pickable object, as the copick project calls it.
    run
        The tomogram's run in the copick project.
    user, session
        Who picked; session ``"0"`` is a program's.

    Raises
    ------
    InputError
        If there are several classes, the voxel size is unknown, or copick does not take a name.

    Examples
    --------
    >>> import tempfile
    >>> one = Picks(np.array([[5.0, 2.0, 3.0]]), np.ones(1, np.float32), np.zeros(1, int), np.ones(1, np.float32))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, copick_name("ball"))
    ...     write_copick(path, one, Volume(np.zeros((8, 8, 8)), (10.0,) * 3), name="ball", run="TS_01")
    ...     print(path.name, json.loads(path.read_text())["points"][0]["location"])
    camfast_0_ball.json {'x': 30.0, 'y': 20.0, 'z': 50.0}
    """
    copick_name(name, user=user, session=session)
    classes = sorted(set(picks.label.tolist()))
    if len(classes) > 1:
        raise InputError(f"picks of the classes {classes}, and a copick file holds one object; write a file for each")
    places = angstrom(picks, volume)
    points: list[dict[str, Any]] = [
        {
            "location": {axis: round(float(length), 4) for axis, length in zip("xyz", place[::-1], strict=True)},
            "transformation_": IDENTITY,
            "instance_id": 0,
            "score": float(value),
        }
        for place, value in zip(places, picks.value, strict=True)
    ]
    content = {
        "pickable_object_name": name,
        "user_id": user,
        "session_id": session,
        "run_name": run,
        "voxel_spacing": float(f"{np.mean(np.array(volume.voxel_angstrom)):.7g}"),
        "unit": "angstrom",
        "points": points,
        "trust_orientation": False,
    }
    write_whole(Path(path), (json.dumps(content, indent=1) + "\n").encode())


def copick_name(name: str, *, user: str = "camfast", session: str = "0") -> str:
    r"""Name of a copick picks file: ``user_session_object.json``.

    Raises
    ------
    InputError
        If a part is empty or holds what copick has no place for: spaces, underscores and any of ``<>:"/\|?*``.

    Examples
    --------
    >>> copick_name("ribosome")
    'camfast_0_ribosome.json'
    """
    for what, part in (("object", name), ("user", user), ("session", session)):
        if not part or re.search(r'[<>:"/\\|?*\x00-\x1f\x7f\s_]', part):
            raise InputError(
                f'the {what} {part!r} is no name that copick takes: expected no spaces, underscores or <>:"/\\|?*; '
                "write - instead"
            )
    return f"{user}_{session}_{name}.json"


def _star_word(text: str) -> str:
    """A string as RELION reads it: in double quotes only where it holds spaces, or would be no value without."""
    if '"' in text or printable(text) != text:
        raise InputError(
            f"the tomogram's name {text!r} holds quotes or line breaks or other control characters, which "
            "RELION does not read; call it otherwise"
        )
    alone = text and not any(letter.isspace() for letter in text) and not _RESERVED.match(text)
    return text if alone else f'"{text}"'
