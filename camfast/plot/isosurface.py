"""A density in space, with the contours of a map around what counts for a class and against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.errors import InputError
from camfast.plot.image import as_array
from camfast.plot.style import PURPOSE, new_figure

DENSITY, FOR, AGAINST = "#9aa3ad", "#d4001c", "#2f6bff"
LIGHT_FROM = np.array([-0.4, -0.5, 0.77])
"""Direction (x, y, z) of the light, of length 1 in good approximation."""
FILLED = 0.95
"""How far surfaces reach towards the border of the panel."""
MOST_TRIANGLES = 60_000
"""Of one surface; where there would be more, every second voxel is used, or every third, …"""


@dataclass(frozen=True)
class Surface:
    """One surface: its label, triangles with what they show of the light, colour and opacity."""

    label: str
    triangles: NDArray[np.float64]
    facing: NDArray[np.float64]
    color: str
    alpha: float


def isosurface(
    volume: Any,
    cam: Any = None,
    *,
    level: float | None = None,
    cam_levels: Sequence[float] = (0.5,),
    voxel_angstrom: Sequence[float] | None = None,
    view: tuple[float, float] = (20.0, -60.0),
    alpha: float = 0.6,
    title: str = "",
    dark: bool = False,
) -> Any:
    """Draw the surface of a density, shaded, and within it the contours of a map: red for the class, blue against it.

    Parameters
    ----------
    volume
        Density (z, y, x).
    cam
        Map of the same shape; None draws the density alone.
    level
        Density at the surface; None: Otsu's threshold between background and particle. Particles may be dark.
    cam_levels
        Contours, each at plus and minus this part of the map's largest absolute value, above 0 and below 1.
    voxel_angstrom
        Voxel size (z, y, x): gives the box its proportions, and its size in nanometres below.
    view
        Elevation and azimuth in degrees, as matplotlib has them.
    alpha
        Opacity of the density; the map's contours are clearer, so that it shows through.
    title
        Text above.
    dark
        Light text on dark ground.

    Returns
    -------
    matplotlib.figure.Figure
        One panel, z upwards, with a legend that gives each surface its value.

    Raises
    ------
    InputError
        If the volume has not three axes of at least 2 voxels, the map another shape, either NaN or infinite values,
        the density no such level, or a level of the map isn't between 0 and 1.

    References
    ----------
    Zhao et al. 2018, Fig. 3.

    Examples
    --------
    >>> z, y, x = torch.meshgrid(*[torch.arange(12.0) - 5.5] * 3, indexing="ij")
    >>> ball = torch.exp(-(x**2 + y**2 + z**2) / 20)
    >>> figure = camfast.plot.isosurface(ball, ball * x, level=0.5)
    >>> [text.get_text() for text in figure.legends[0].get_texts()]
    ['density, 0.5', 'map, +0.925', 'map, −0.925']
    """
    density = _checked(volume, "volume")
    heat = None if cam is None else _checked(cam, "map")
    if heat is not None and heat.shape != density.shape:
        raise InputError(f"the volume has the shape {density.shape} and the map {heat.shape}, expected the same")
    if not all(0 < part < 1 for part in cam_levels):
        raise InputError(f"cam_levels are {tuple(cam_levels)}, expected parts of the largest value between 0 and 1")
    size = np.array([1.0, 1.0, 1.0] if voxel_angstrom is None else [float(s) for s in voxel_angstrom])
    surfaces = [_density_surface(density, level, size, alpha), *_contours(heat, cam_levels, size)]
    colors = require("matplotlib.colors", "plot", PURPOSE)
    art = require("mpl_toolkits.mplot3d.art3d", "plot", PURPOSE)
    patches = require("matplotlib.patches", "plot", PURPOSE)
    # one collection for all: matplotlib sorts triangles by depth within a collection only
    triangles = np.concatenate([one.triangles for one in surfaces])
    shades = np.concatenate([_shaded(one.facing, colors.to_rgb(one.color), one.alpha) for one in surfaces])
    with new_figure((6.0, 6.0), dark=dark) as figure:
        axes = figure.add_subplot(projection="3d", computed_zorder=False)
        axes.add_collection3d(art.Poly3DCollection(triangles, facecolors=shades, edgecolors="none", linewidths=0))
        first, last = triangles.min((0, 1)), triangles.max((0, 1))
        axes.set(**{f"{name}lim": ends for name, ends in zip("xyz", zip(first, last, strict=True), strict=True)})
        axes.view_init(*view)
        zoom = 1.0
        for _ in range(4):  # what is near grows faster than the zoom
            axes.set_box_aspect(tuple(last - first), zoom=zoom)
            zoom *= FILLED / _reach(axes, triangles)
        axes.set_axis_off()
        handles = [patches.Patch(color=(one.color, max(one.alpha, 0.2)), label=one.label) for one in surfaces]
        x, y, z = (last - first) / 10
        spans = None if voxel_angstrom is None else f"what is drawn spans {x:.3g} × {y:.3g} × {z:.3g} nm (x, y, z)"
        figure.legend(
            handles=handles, title=spans, loc="outside lower center", ncols=min(3, len(handles)), frameon=False
        )
        figure.suptitle(title)
    return figure


def _reach(axes: Any, triangles: NDArray[np.float64]) -> float:
    """How far triangles reach from the middle of the panel, whose border is at 1."""
    project = require("mpl_toolkits.mplot3d.proj3d", "plot", PURPOSE)
    x, y, _ = project.proj_transform(*triangles.reshape(-1, 3).T, axes.get_proj())
    return float(np.abs(2 * axes.transLimits.transform(np.stack([x, y], 1)) - 1).max())


def _checked(values: Any, name: str) -> NDArray[np.float32]:
    array = as_array(values).astype(np.float32, copy=False)
    if array.ndim != 3 or min(array.shape) < 2:
        raise InputError(f"the {name} has the shape {array.shape}, expected (z, y, x) of at least 2 voxels each")
    if not np.isfinite(array).all():
        raise InputError(f"the {name} holds NaN or infinite values, which have no place on a surface")
    return array


def _density_surface(density: NDArray[np.float32], level: float | None, size: NDArray[Any], alpha: float) -> Surface:
    lowest, highest = float(density.min()), float(density.max())
    if level is None and lowest < highest:
        level = float(require("skimage.filters", "plot", PURPOSE).threshold_otsu(density))
    if level is None or not lowest < level < highest:
        raise InputError(f"level is {level}, and the density lies between {lowest:.4g} and {highest:.4g}")
    label = f"density, {level:.3g}".replace("-", "−")
    return Surface(label, *_mesh(density, level, float(np.median(density)), size), DENSITY, alpha)


def _contours(heat: NDArray[np.float32] | None, parts: Sequence[float], size: NDArray[Any]) -> list[Surface]:
    """Those of positive values, then those of negative; none where a map has no such values."""
    if heat is None:
        return []
    largest = float(np.abs(heat).max())
    found: list[Surface] = []
    for sign, name, color in ((1.0, "+", FOR), (-1.0, "−", AGAINST)):
        for part in sorted(parts):
            level = sign * part * largest
            if float((sign * heat).max()) > abs(level) > 0:
                opacity = 0.45 * part / max(parts)
                found.append(Surface(f"map, {name}{abs(level):.3g}", *_mesh(heat, level, 0.0, size), color, opacity))
    return found


def _mesh(
    values: NDArray[np.float32], level: float, outside: float, size: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The surface at a level, closed at the faces of the box by what lies outside.

    Triangles (n, 3 corners, 3) as x, y, z; and how far each faces the light, 0 to 1, smooth over neighbours.
    """
    measure = require("skimage.measure", "plot", PURPOSE)
    padded = np.pad(values, 1, constant_values=outside)
    for step in range(1, min(values.shape) + 1):
        corners, faces, normals, _ = measure.marching_cubes(padded, level, step_size=step)
        if len(faces) <= MOST_TRIANGLES:
            break
    placed = np.clip(corners - 0.5, 0.0, values.shape) * size  # voxel 0 reaches from 0 to 1, and is 1 when padded
    across = (normals / size)[faces].mean(1)[:, ::-1]
    lengths = np.linalg.norm(across, axis=1, keepdims=True)
    facing = np.abs(across / np.where(lengths > 0, lengths, 1.0) @ LIGHT_FROM)
    return placed[faces][..., ::-1], facing


def _shaded(facing: NDArray[np.float64], color: tuple[float, float, float], alpha: float) -> NDArray[np.float64]:
    """The colour of each triangle, (n, 4): darker the more it is turned from the light."""
    shade = np.minimum(0.4 + 0.6 * facing, 1.0)[:, None] * np.array(color)
    return np.concatenate([shade, np.full((len(shade), 1), alpha)], axis=1)
