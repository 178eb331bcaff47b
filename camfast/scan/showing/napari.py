"""napari's plugin: an output of a scan opens as density, maps and picks, a tomogram as it is; nothing is read whole."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.plot.style import LINES_ON_DARK
from camfast.scan.files import read_volume
from camfast.scan.formats.lazy import LazyArray
from camfast.scan.showing.viewing import Output, Picked, density_of, is_output, is_volume, open_output, stretch
from camfast.scan.volumes import Triple, Volume

LayerData = tuple[Any, dict[str, Any], str]
"""What napari makes a layer of: data, the arguments of its class, and which class."""

COLORMAPS = ("inferno", "viridis", "cividis", "magma", "plasma", "turbo")
DIMMED = 0.6
"""Opacity of a density under a map, whose colours are added to it and would else be white on white."""
_PURPOSE = "opening volumes in napari"


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Say whether this plugin opens a path, as napari asks: maps of camfast, and tomograms in one file.

    Parameters
    ----------
    path
        One path, or several that were dropped together.

    Returns
    -------
    Callable or None
        What makes layers of it; None leaves it to other plugins.
    """
    paths = [Path(one) for one in ([path] if isinstance(path, str) else path)]
    return read if paths and all(is_output(one) or is_volume(one) for one in paths) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Make layers of outputs and tomograms."""
    paths = [Path(one) for one in ([path] if isinstance(path, str) else path)]
    layers: list[LayerData] = []
    for one in paths:
        layers += layers_of(open_output(one)) if is_output(one) else [_density_layer(read_volume(one))]
    return layers


def layers_of(output: Output, density: Path | None = None) -> list[LayerData]:
    """Make the layers of an output: the density in grey, each map with its colours added, picks as rings.

    Of several maps the first one is shown, and the others wait to be switched on.

    Parameters
    ----------
    output
        What a scan wrote.
    density
        What was scanned; None looks for it beside the output.

    Raises
    ------
    InputError
        If the density doesn't have the map's shape, or a file is damaged.
    MissingExtraError
        Without dask, which comes with napari.
    """
    volume = density_of(output, density)
    layers = [] if volume is None else [_density_layer(volume, output.voxel_angstrom, opacity=DIMMED)]
    if "labels_by_value" in output.about:
        return [*layers, _labels_layer(output)]
    layers += [_map_layer(output, index) for index in range(len(output.names))]
    found = [picked for picked in output.picks() if len(picked.value)]
    return [*layers, *(_points_layer(output, picked, number) for number, picked in enumerate(found))]


def open_viewer(output: Output, density: Path | None = None, *, show: bool = True) -> Any:
    """Open an output in a new viewer, at the strongest pick or value, with picks shown in all slices they reach to.

    Parameters
    ----------
    output, density
        As for `layers_of`.
    show
        Whether to show its window.

    Returns
    -------
    napari.Viewer
        The viewer; ``napari.run()`` waits until it is closed.

    Raises
    ------
    InputError
        As `layers_of`.
    MissingExtraError
        Without napari.
    """
    napari = require("napari", "napari", "showing maps in napari")
    layers = layers_of(output, density)
    viewer = napari.Viewer(title=f"camfast: {output.path.name}", show=show)
    for layer in layers:
        viewer.add_layer(napari.layers.Layer.create(*layer))
    viewer.canvas.overlays.scale_bar.visible = output.voxel_angstrom is not None
    size = np.array(output.voxel_angstrom or (1.0, 1.0, 1.0))
    margin = (_diameter(output) / 2 * size).tolist()
    viewer.dims.margin_left = viewer.dims.margin_right = margin
    place = _strongest(output) * size + np.array(output.translation)
    for axis, position in enumerate(place.tolist()):
        viewer.dims.set_point(axis, position)
    return viewer


def _strongest(output: Output) -> NDArray[np.float64]:
    """The voxel (z, y, x) of the first map's strongest pick, or of the largest value in what is sampled of it."""
    own = [picked for picked in output.picks() if len(picked.value) and output.owns(picked, 0)]
    if own and output.voxel_angstrom is not None:
        best: NDArray[np.float64] = own[0].position[int(own[0].value.argmax())] / np.array(output.voxel_angstrom)
        return best
    values = np.nan_to_num(output.sample(), nan=-np.inf)
    coarse = np.array(np.unravel_index(int(values.argmax()), values.shape), np.float64)
    place: NDArray[np.float64] = (coarse + 0.5) / np.array(values.shape) * np.array(output.shape) - 0.5
    return place


def _diameter(output: Output) -> float:
    """Diameter of a pick's sphere in voxels: half a window's shortest edge, about that of what fits it."""
    return min(output.window) / 2 if output.window else max(output.shape) / 20


def _density_layer(volume: Volume, voxel_angstrom: Triple | None = None, opacity: float = 1.0) -> LayerData:
    low, high = stretch(volume)
    name = "density" if volume.path is None else volume.path.name
    placed = _placed(volume.voxel_angstrom or voxel_angstrom, volume.translation)
    arguments = {
        "name": name,
        "colormap": "gray",
        "contrast_limits": (low, high),
        "opacity": opacity,
        "multiscale": False,
        "projection_mode": "none",  # one section also where the viewer's slices are thick, for picks
    }
    return _lazy(volume.data), {**arguments, **placed}, "image"


def _map_layer(output: Output, index: int) -> LayerData:
    levels = [_lazy(level) for level in output.levels]
    levels = [level[index] for level in levels] if output.several else levels
    several = len(levels) > 1
    arguments = {
        "name": f"{output.path.name}: {output.names[index]}",
        "colormap": COLORMAPS[index % len(COLORMAPS)],
        "blending": "additive",
        "contrast_limits": output.limits(index),
        "interpolation2d": "linear",
        "multiscale": several,
        "projection_mode": "none",
        "visible": index == 0,
        "metadata": {"camfast": dict(output.about)},
    }
    return (
        levels if several else levels[0],
        {**arguments, **_placed(output.voxel_angstrom, output.translation)},
        "image",
    )


def _labels_layer(output: Output) -> LayerData:
    arguments = {
        "name": output.path.name,
        "opacity": 0.5,
        "multiscale": False,
        "metadata": {"camfast": dict(output.about)},
    }
    # napari leaves 0 clear, and a window that was left out has the label -1
    return _lazy(output.levels[0]) + 1, {**arguments, **_placed(output.voxel_angstrom, output.translation)}, "labels"


def _points_layer(output: Output, picked: Picked, number: int) -> LayerData:
    size = np.array(output.voxel_angstrom or (1.0, 1.0, 1.0))
    arguments = {
        "name": f"picks: {picked.name}",
        "features": {"value": picked.value},
        "size": _diameter(output),
        "face_color": "transparent",
        "border_color": LINES_ON_DARK[number % len(LINES_ON_DARK)],
        "projection_mode": "rescale_spherical",  # rings where the slice cuts the spheres
        "visible": output.owns(picked, 0),
    }
    return picked.position / size, {**arguments, **_placed(output.voxel_angstrom, output.translation)}, "points"


def _placed(voxel_angstrom: Triple | None, translation: Triple) -> dict[str, Any]:
    axes: dict[str, Any] = {"axis_labels": ("z", "y", "x")}
    if voxel_angstrom is None:
        return axes
    return {**axes, "scale": voxel_angstrom, "translate": translation, "units": ("angstrom",) * 3}


def _lazy(array: Any) -> Any:
    """Leave an array where it is until napari asks for a slice of it: chunks of a store, sections of a file."""
    dask = require("dask.array", "napari", _PURPOSE)
    raw = isinstance(array, LazyArray) and array.chunks[0] == 1
    return dask.from_array(array, chunks=(1, *array.shape[1:]) if raw else array.chunks, name=False)
