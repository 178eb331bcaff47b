"""The page about a finished scan: one file with pictures, scores, picks and how the map came about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camfast._extras import require
from camfast.errors import InputError
from camfast.plot.colors import ABOVE, BELOW, short
from camfast.plot.image import as_array
from camfast.plot.planes import HORIZONTAL
from camfast.scan.picking.picks import Picks
from camfast.scan.showing.histogram import Histogram, histogram
from camfast.scan.showing.page_facts import difference_of, percent, pick_rows, rows_of, times, voxel_size
from camfast.scan.showing.pictures import VERTICAL, Drawing, Slice, drawing, limits_of, scale_bar, slices_at
from camfast.scan.showing.pixels import Limits, ramp
from camfast.scan.volumes import Volume

SHOWN = 4
"""Maps with pictures; the others are named."""
ROWS = 20
"""Picks in the table."""
_NOWHERE = np.empty((0, 3))


@dataclass(frozen=True, eq=False, slots=True)
class Target:
    """What the page shows of one map.

    Parameters
    ----------
    name
        Of its class.
    central, strongest
        Slices through the middle, and through the strongest place.
    why
        How that place was found.
    limits
        Values at the ends of the colours.
    not_a_number
        Whether the slices hold NaN.
    histogram
        Of the windows' scores.
    picks
        How many picks of its class there are; None where none were looked for.
    own_class
        Whether the map is of one class, rather than of each window's own.
    """

    name: str
    central: Drawing
    strongest: Drawing
    why: str
    limits: Limits
    not_a_number: bool
    histogram: Histogram | None
    picks: int | None
    own_class: bool


@dataclass(frozen=True, slots=True)
class _Channel:
    """One of several maps (T, z, y, x), of which only what is sliced is read."""

    maps: Any
    index: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(length) for length in self.maps.shape[1:])

    def __getitem__(self, key: tuple[int | slice, ...]) -> Any:
        return self.maps[(self.index, *key)]


def write_scan_page(
    path: str | Path,
    *,
    density: Volume,
    cam: Any,
    names: Sequence[str],
    about: Mapping[str, Any],
    scores: Any = None,
    picks: Picks | None = None,
    labels: Mapping[int, str] | Sequence[str] | None = None,
) -> None:
    """Write one HTML file that shows a scan: it needs no other file, no script and no network.

    Slices through the middle and through the strongest place, with the map over the density; the windows' scores; the
    first picks; how the map came about. It follows the reader's choice of light or dark. The same scan gives the same
    bytes.

    Parameters
    ----------
    path
        File to write.
    density
        What was scanned. Of this and of the map only the slices that are shown are read.
    cam
        The map, (z, y, x) or (T, z, y, x): anything that gives arrays when it is sliced.
    names
        Name of each map's class.
    about
        How the map came about, as `camfast.read_provenance` gives it.
    scores
        Of all windows, (nz, ny, nx, C), NaN where one was left out.
    picks
        The strongest places, the largest value first.
    labels
        Names of all classes; of the maps' own where None.

    Raises
    ------
    InputError
        If the map doesn't have the density's shape, or there are not as many names as maps.
    MissingExtraError
        Without Pillow or Jinja2.

    Examples
    --------
    >>> import tempfile
    >>> from camfast.scan import read_volume
    >>> density = read_volume(np.random.default_rng(0).normal(size=(8, 9, 10)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = Path(folder, "page.html")
    ...     write_scan_page(page, density=density, cam=density.data, names=["ball"], about={"method": "respond"})
    ...     "through the middle" in page.read_text()
    True
    """
    shape = tuple(int(length) for length in cam.shape)
    maps = [_Channel(cam, index) for index in range(shape[0])] if len(shape) == 4 else [cam]
    if shape[-3:] != density.shape or len(shape) not in (3, 4) or len(names) != len(maps):
        raise InputError(
            f"the map has the shape {shape}, there are {len(names)} names, and the density has {density.shape}; "
            "expected a map (z, y, x) of the density's shape with one name, or (T, z, y, x) with T"
        )
    classes = _classes(about, len(maps))
    known = _names_by_class(labels, names, classes)
    middle = tuple(length // 2 for length in density.shape)
    cuts = slices_at(density.data, middle)
    radius = _radius(about, density.shape)
    scene = _Scene(density, cuts, middle, scores, picks, about, radius)
    text = _template().render(
        tomogram="a volume" if density.path is None else density.path.name,
        shape=times(density.shape),
        voxels=int(np.prod(density.shape)),
        voxel=voxel_size(density),
        density=drawing(cuts, None, (0.0, 1.0), middle, _NOWHERE, radius),
        bar=scale_bar(density),
        targets=[_target(scene, *one) for one in list(zip(names, maps, classes, strict=True))[:SHOWN]],
        others=list(names[SHOWN:]),
        windows=None if scores is None else int(np.prod(scores.shape[:-1])),
        picks=None if picks is None else len(picks),
        rows=pick_rows(picks, known, density, ROWS),
        radius=radius,
        residual=None if about.get("sum_to_score_residual") is None else percent(about["sum_to_score_residual"]),
        difference=difference_of(about),
        provenance=rows_of(about, density),
        above=ramp(ABOVE),
        below=ramp(BELOW, backwards=True),
        method=about.get("method"),
        percent=percent,
        short=short,
    )
    Path(path).write_text(text, encoding="utf-8")


@dataclass(frozen=True, eq=False, slots=True)
class _Scene:
    """What all maps of a scan have in common."""

    density: Volume
    cuts: list[Slice]
    middle: tuple[int, ...]
    scores: Any
    picks: Picks | None
    about: Mapping[str, Any]
    radius: float


def _target(scene: _Scene, name: str, cam: Any, index: int | None) -> Target:
    picks = scene.picks
    if picks is not None and index is not None:
        picks = picks.take(picks.label == index)
    spheres = _NOWHERE if picks is None else picks.position
    heat = slices_at(cam, scene.middle)
    place, why = _strongest(scene, cam, heat, picks, index)
    there = slices_at(cam, place)
    limits = limits_of([*heat, *there])
    return Target(
        name,
        drawing(scene.cuts, heat, limits, scene.middle, spheres, scene.radius),
        drawing(slices_at(scene.density.data, place), there, limits, place, spheres, scene.radius),
        why,
        limits,
        any(bool(np.isnan(one.pixels).any()) for one in (*heat, *there)),
        None if scene.scores is None else histogram(scene.scores, index),
        None if picks is None else len(picks),
        index is not None,
    )


def _strongest(
    scene: _Scene, cam: Any, heat: list[Slice], picks: Picks | None, index: int | None
) -> tuple[tuple[int, ...], str]:
    """Find a voxel where the map is large without reading all of it, and say how it was found."""
    shape = scene.density.shape
    if picks is not None and len(picks):
        best = np.clip(np.rint(picks.position[np.argmax(picks.value)]).astype(int), 0, np.array(shape) - 1)
        return tuple(best.tolist()), "the strongest pick"
    window, stride = (_lengths(scene.about, name) for name in ("window", "stride"))
    if window and stride and scene.scores is not None and np.isfinite(scene.scores).any():
        own = scene.scores.max(-1) if index is None else scene.scores[..., index]
        first = np.array(np.unravel_index(np.nanargmax(own), own.shape)) * np.array(stride)
        box = tuple(slice(int(f), min(int(f + w), n)) for f, w, n in zip(first, window, shape, strict=True))
        inside = np.nan_to_num(as_array(cam[box]), nan=-np.inf)
        best = first + np.array(np.unravel_index(inside.argmax(), inside.shape))
        return tuple(best.tolist()), "the largest value of the map within the window with the largest score"
    values = [np.nan_to_num(one.pixels, nan=-np.inf) for one in heat]
    axis = int(np.argmax([plane.max() for plane in values]))
    row, column = np.unravel_index(int(values[axis].argmax()), values[axis].shape)
    place, block = list(scene.middle), heat[axis].block
    place[VERTICAL[axis]], place[HORIZONTAL[axis]] = int(row) * block, int(column) * block
    return tuple(place), "the largest value of the map within the slices through the middle"


def _classes(about: Mapping[str, Any], count: int) -> list[int | None]:
    """Class of each map, None where it is none: a region, or each window's own class."""
    target = about.get("target")
    if target == "all":
        return list(range(count))
    several = target if isinstance(target, list | tuple) else [target]
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in several)
    return list(several) if whole and len(several) == count else [None] * count


def _names_by_class(
    labels: Mapping[int, str] | Sequence[str] | None, names: Sequence[str], classes: Sequence[int | None]
) -> dict[int, str]:
    own = {index: name for index, name in zip(classes, names, strict=True) if index is not None}
    return own | dict(labels.items() if isinstance(labels, Mapping) else enumerate(labels or ()))


def _radius(about: Mapping[str, Any], shape: tuple[int, ...]) -> float:
    """Radius of the circles, in voxels: a quarter of a window's shortest edge, about that of what fits it."""
    window = _lengths(about, "window")
    return max(1.0, min(window) / 4 if window else max(shape) / 40)


def _lengths(about: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """Three lengths in voxels; none where they aren't known."""
    found = about.get(name)
    return tuple(int(length) for length in found) if isinstance(found, list | tuple) and len(found) == 3 else ()


def _template() -> Any:
    jinja2 = require("jinja2", "scan", "writing the report page")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("scan.html")
