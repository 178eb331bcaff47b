"""What a viewer needs of a scan's output: maps at all their resolutions, where they lie, the density, the picks."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.errors import CamfastError, InputError
from camfast.plot.image import as_array
from camfast.saving import read_provenance
from camfast.scan.files import ending_of, read_volume
from camfast.scan.formats.codecs import check_numbers
from camfast.scan.formats.ome_zarr import is_store
from camfast.scan.volumes import Triple, Volume, angstrom_per

OUTPUTS = (".zarr", ".mrc", ".map", ".rec")
_SAMPLED = 1 << 24
"""Voxels that are looked at, at most, to say how a map is to be shown."""


@dataclass(frozen=True, eq=False, slots=True)
class Picked:
    """Particles of one class, as a scan wrote them.

    Parameters
    ----------
    name
        Of the class.
    position
        (z, y, x) in ångström from the centre of the first voxel, (P, 3).
    value
        The map there, (P,).
    """

    name: str
    position: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Output:
    """A map, or several, that a scan wrote.

    Parameters
    ----------
    path
        The file.
    levels
        (z, y, x), or (T, z, y, x) for several maps, the full resolution first: arrays that are read when sliced.
    names
        Of the maps.
    voxel_angstrom
        Edge lengths (z, y, x) of a voxel of the full resolution; None where they are unknown.
    translation
        Position (z, y, x) of the first voxel in ångström.
    about
        How they came about.
    """

    path: Path
    levels: tuple[Any, ...]
    names: tuple[str, ...]
    voxel_angstrom: Triple | None
    translation: Triple
    about: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of voxels along (z, y, x)."""
        return tuple(int(length) for length in self.levels[0].shape[-3:])

    @property
    def several(self) -> bool:
        """Whether the levels have an axis of maps."""
        return len(self.levels[0].shape) == 4

    @property
    def window(self) -> tuple[int, ...]:
        """Edges (z, y, x) of the windows in voxels; none where they aren't known."""
        found = self.about.get("window")
        return tuple(int(length) for length in found) if isinstance(found, list | tuple) else ()

    def sample(self, index: int = 0) -> NDArray[Any]:
        """Values of one map that say how it is to be shown: of the coarsest level, or of sections far apart."""
        coarsest = self.levels[-1]
        depth, height, width = coarsest.shape[-3:]
        sections = range(0, depth, max(1, -(-depth * height * width // _SAMPLED)))
        leading = (index,) if self.several else ()
        return np.stack([as_array(coarsest[(*leading, section)]) for section in sections])

    def limits(self, index: int = 0) -> tuple[float, float]:
        """Values to be shown as nothing and as most of one map: 0 and the 99.9th percentile.

        Where nothing speaks for a class they are the 0.1th percentile and 0.
        """
        values = self.sample(index)
        values = values[np.isfinite(values)]
        if not len(values):
            return 0.0, 1.0
        low, high = (float(value) for value in np.percentile(values, (0.1, 99.9)))
        if high > 0:
            return 0.0, high
        return (low, 0.0) if low < 0 else (0.0, 1.0)

    def density(self) -> Path | None:
        """Find the volume that was scanned: it lies beside the output, or in the folder above."""
        name = self.about.get("volume")
        if not isinstance(name, str) or Path(name).name != name:  # a path would lead elsewhere, and no scan writes one
            return None
        for folder in (self.path.parent, self.path.absolute().parent.parent):
            found = folder / name
            if found.exists() and _shape_of(found) == self.shape:
                return found
        return None

    def picks(self) -> list[Picked]:
        """Read the picks that lie beside the output, class by class.

        Raises
        ------
        InputError
            If a file is damaged.
        """
        stem = self.path.name.removesuffix(self.path.suffix)
        names = sorted(self.path.parent.glob("*.picks*.json"))
        return [_picked(path) for path in names if path.name.startswith(f"{stem}.picks.")]

    def owns(self, picked: Picked, index: int) -> bool:
        """Whether picks are of one map's class; their files spell names without spaces and underscores."""
        return len(self.names) == 1 or plain(picked.name) == plain(self.names[index])


def is_output(path: Path) -> bool:
    """Whether camfast wrote a map into this file; one that can't be read is none."""
    try:
        return path.suffix.lower() in OUTPUTS and path.exists() and "method" in read_provenance(path)
    except CamfastError:
        return False


def open_output(path: Path) -> Output:
    """Open what a scan wrote; its values are read when they are sliced.

    Raises
    ------
    InputError
        If there is no such file, or it is no map of camfast.
    """
    if path.suffix.lower() not in OUTPUTS:
        raise InputError(f"{path}: no output of a scan; give a map of camfast scan, {', '.join(OUTPUTS)}")
    about = read_provenance(path)
    if "method" not in about:
        raise InputError(f"{path}: written by camfast, but no map; give what camfast scan wrote")
    if is_store(path):
        levels, size, translation, shown = pyramid(path)
    else:
        volume = read_volume(path)
        levels, size, translation, shown = (volume.data,), volume.voxel_angstrom, volume.translation, ()
    count = levels[0].shape[0] if len(levels[0].shape) == 4 else 1
    target = about.get("target", "?")
    own = "predicted class" if target == "predicted" else f"class {target}"
    names = shown or about.get("labels") or [about.get("label", own)]
    if not isinstance(names, list | tuple) or len(names) != count:
        names = [f"map {index}" for index in range(count)]
    return Output(path, levels, tuple(str(name) for name in names), size, translation, about)


def pyramid(path: Path) -> tuple[tuple[Any, ...], Triple | None, Triple, tuple[str, ...]]:
    """Arrays of an OME-Zarr image, finest first, its voxel size and position in ångström, and names of its channels.

    Raises
    ------
    InputError
        If it isn't an image with the axes (z, y, x) or (c, z, y, x).
    """
    zarr = require("zarr", "scan", "reading OME-Zarr")
    try:
        group = zarr.open_group(str(path), mode="r")
        attributes = dict(group.attrs)
        attributes = attributes.get("ome", attributes)
        image = attributes["multiscales"][0]
        names = "".join(str(axis["name"]).lower() for axis in image["axes"])
        unit = angstrom_per(image["axes"][-1].get("unit"))
        levels = tuple(group[one["path"]] for one in image["datasets"])
        steps = {step["type"]: step[step["type"]] for step in image["datasets"][0]["coordinateTransformations"]}
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OSError) as error:
        raise InputError(f"{path}: no OME-Zarr image ({type(error).__name__}: {error})") from None
    for level in levels:
        check_numbers(level, path)
    if names not in ("zyx", "czyx"):
        raise InputError(f"{path}: an image with the axes {names!r}, expected 'zyx' or 'czyx'")
    shown = tuple(str(one.get("label", "")) for one in attributes.get("omero", {}).get("channels", ()))
    if not unit:
        return levels, None, (0.0, 0.0, 0.0), shown
    z, y, x = (float(step) * unit for step in steps["scale"][-3:])
    first = [float(step) * unit for step in steps.get("translation", (0.0, 0.0, 0.0))[-3:]]
    return levels, (z, y, x), (first[0], first[1], first[2]), shown


def plain(name: str) -> str:
    """Spell a name as a file's name can hold it.

    Examples
    --------
    >>> plain("class 3"), plain("14_pf (in vitro)")
    ('class-3', '14-pf-in-vitro')
    """
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")


def density_of(output: Output, given: Path | None) -> Volume | None:
    """Open the volume that was scanned: the one that is given, or that is found beside the output.

    Raises
    ------
    InputError
        If the given one can't be read, or has another shape than the map.
    """
    path = output.density() if given is None else given
    if path is None:
        return None
    volume = read_volume(path)
    if volume.shape != output.shape:
        shapes = [" × ".join(str(length) for length in shape) for shape in (volume.shape, output.shape)]
        raise InputError(
            f"{path}: has {shapes[0]} voxels, and the map {output.path} {shapes[1]}; give what was scanned"
        )
    return volume


def stretch(volume: Volume, planes: int = 8) -> tuple[float, float]:
    """Values of a density that are shown black and white: the 1st and 99th percentile of a few sections."""
    depth = volume.shape[0]
    sections: Sequence[int] = sorted({depth * (2 * index + 1) // (2 * planes) for index in range(planes)})
    values = np.concatenate([as_array(volume.data[section]).ravel() for section in sections])
    low, high = (float(value) for value in np.nanpercentile(values, (1, 99)))
    return low, high if high > low else low + 1


def _shape_of(path: Path) -> tuple[int, ...] | None:
    try:
        return read_volume(path).shape
    except CamfastError:
        return None


def _picked(path: Path) -> Picked:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        points = content["points"]
        position = [[float(point["location"][axis]) for axis in "zyx"] for point in points]
        value = [float(point.get("score", 0.0)) for point in points]
        name = str(content["pickable_object_name"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(
            f"{path}: no picks that can be read ({type(error).__name__}: {error}); write them again, or move them away"
        ) from None
    return Picked(name, np.array(position, np.float64).reshape(-1, 3), np.array(value, np.float64))


def is_volume(path: Path) -> bool:
    """Whether the name is that of a tomogram in one file."""
    return ending_of(path) in (".mrc", ".rec", ".map", ".st", ".ali", ".mrc.gz", ".mrc.bz2", ".em") and path.is_file()
