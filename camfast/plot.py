"""Pictures of maps: over an image, and over the central slices of a volume."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camfast._extras import require
from camfast._version import __version__
from camfast.errors import InputError

PURPOSE = "drawing figures"
DARK = {
    "figure.facecolor": "#16181c",
    "axes.facecolor": "#16181c",
    "savefig.facecolor": "#16181c",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), "#e6e6e6"),
}
ABOVE = ("#ffc233", "#ff6a1a", "#d4001c")
BELOW = ("#7fd4ff", "#2f86ff", "#10239e")
UNITS = (("mm", 1e6), ("µm", 1e3), ("nm", 1))
LIGHT = {"figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white"}


@dataclass(frozen=True, slots=True)
class Markers:
    """Spheres to draw as circles where a slice cuts them.

    Parameters
    ----------
    label
        Their name in the legend.
    centres
        Positions (z, y, x) in voxels.
    radius
        Of the spheres, in voxels.
    color
        Any colour of matplotlib.
    style
        Line style of matplotlib: ``"-"``, ``":"``, …
    """

    label: str
    centres: Sequence[Sequence[float]]
    radius: float
    color: str = "#00d0ff"
    style: str = "-"


def overlay(
    image: Any,
    heat: Any,
    *,
    title: str = "",
    limit: float | tuple[float, float] | None = None,
    alpha: float = 0.75,
    desaturate: float = 0.75,
    dark: bool = False,
) -> Any:
    """Draw a map over an image.

    Parameters
    ----------
    image
        (H, W) or (H, W, 3), uint8 or float; a grey image is stretched from its 1st to its 99th percentile.
    heat
        (H, W). With negative values it is drawn on a diverging scale centred at 0, otherwise on a rising one.
    title
        Text above.
    limit
        Value at the scale's ends, on both sides of 0 for a signed map; (low, high) gives each side its own; None: the
        largest absolute value.
    alpha
        Opacity at the end of the scale; 0 where the map is 0.
    desaturate
        How far a colour image is turned grey, 0 to 1, so that its colours are not taken for the map's.
    dark
        Light text on dark ground.

    Returns
    -------
    matplotlib.figure.Figure
        Made without pyplot, so it needs no display and no closing.

    Raises
    ------
    InputError
        If image and map have different sizes.
    """
    picture, values = _array(image), _array(heat)
    if picture.shape[:2] != values.shape or picture.ndim not in (2, 3):
        raise InputError(f"the image has the shape {picture.shape} and the map {values.shape}, expected (H, W[, 3])")
    norm, colormap = _scale(values, limit, alpha)
    with _figure((7.2, 6.0 * min(1.6, values.shape[0] / values.shape[1]) + 0.4), dark=dark) as figure:
        axes = figure.add_subplot()
        _grey(axes, _desaturated(picture, desaturate), _stretch(picture))
        drawn = axes.imshow(values, cmap=colormap, norm=norm, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(title)
        _color_bar(figure, drawn, axes)
    return figure


def slices(
    volume: Any,
    cam: Any = None,
    *,
    centre: Sequence[int] | None = None,
    voxel_angstrom: Sequence[float] | None = None,
    markers: Sequence[Markers] = (),
    title: str = "",
    limit: float | tuple[float, float] | None = None,
    alpha: float = 0.85,
    dark: bool = False,
) -> Any:
    """Draw three orthogonal slices of a volume with its map over them.

    Parameters
    ----------
    volume
        Density (z, y, x): array, tensor, memory map or Zarr array; only the slices are read.
    cam
        Map of the same shape; None draws the density alone.
    centre
        Voxel (z, y, x) the slices go through; None: the middle.
    voxel_angstrom
        Voxel size (z, y, x): adds a scale bar.
    markers
        Spheres to mark.
    title
        Text above.
    limit
        Value at the scale's ends, on both sides of 0 for a signed map; (low, high) gives each side its own; None: the
        99.9th percentile of the absolute value in the slices.
    alpha
        Opacity at the end of the scale.
    dark
        Light text on dark ground.

    Returns
    -------
    matplotlib.figure.Figure
        Panels y–x, y–z and z–x, sharing their scale.

    Raises
    ------
    InputError
        If the volume has not three axes, or the map another shape.
    """
    shape = tuple(int(n) for n in volume.shape)
    if len(shape) != 3 or (cam is not None and tuple(cam.shape) != shape):
        found = "" if cam is None else f" and the map {tuple(cam.shape)}"
        raise InputError(f"the volume has the shape {shape}{found}, expected (z, y, x), the same for both")
    at = [n // 2 for n in shape] if centre is None else [int(n) for n in centre]
    depth, height, width = shape
    cuts = [_array(_plane(volume, axis, at[axis])) for axis in range(3)]
    density = _stretch(np.concatenate([cut.ravel() for cut in cuts]))
    heats = [] if cam is None else [_array(_plane(cam, axis, at[axis])) for axis in range(3)]
    if heats and limit is None:
        limit = float(np.nanpercentile(np.abs(np.concatenate([heat.ravel() for heat in heats])), 99.9)) or None
    inches = 7.5 / max(width + depth, height + depth)
    size = ((width + depth) * inches + (1.8 if heats else 0.3), (height + depth) * inches + 1.0)
    if heats:
        norm, colormap = _scale(np.concatenate([heat.ravel() for heat in heats]), limit, alpha)
    with _figure(size, dark=dark) as figure:
        grid = figure.add_gridspec(2, 2, width_ratios=[width, depth], height_ratios=[height, depth])
        panels = [figure.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (0, 1))]
        for axis, (axes, cut) in enumerate(zip(panels, cuts, strict=True)):
            _grey(axes, cut, density)
            if heats:
                drawn = axes.imshow(heats[axis], cmap=colormap, norm=norm, interpolation="nearest")
            axes.autoscale(enable=False)  # circles at the border don't widen the panel
            _circles(axes, markers, axis, at[axis])
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(f"{'zyx'[axis]} = {at[axis]}", fontsize=9)
        if heats:
            _color_bar(figure, drawn, panels)
        if voxel_angstrom is not None:
            _scale_bar(panels[0], width, voxel_angstrom[2])
        if markers:
            figure.legend(handles=_legend(markers), loc="outside lower center", ncols=len(markers), frameon=False)
        figure.suptitle(title)
    return figure


def save(figure: Any, path: str | Path, **provenance: Any) -> None:
    """Save a figure as PNG, with how it came about in the file's text fields as JSON; a rerun gives equal bytes."""
    description = json.dumps(provenance, sort_keys=True, default=str)
    metadata = {"Software": f"camfast {__version__}", "Description": description}
    figure.savefig(path, format="png", dpi=150, metadata=metadata)


@contextmanager
def _figure(size: tuple[float, float], *, dark: bool) -> Iterator[Any]:
    matplotlib = require("matplotlib", "plot", PURPOSE)
    module = require("matplotlib.figure", "plot", PURPOSE)
    with matplotlib.rc_context(DARK if dark else LIGHT):
        yield module.Figure(figsize=size, layout="constrained")


def _array(values: Any) -> NDArray[Any]:
    if isinstance(values, torch.Tensor):
        values = values.detach().float().cpu().numpy()
    array = np.asarray(values)
    return array if array.dtype == np.uint8 else array.astype(np.float32)


def _plane(volume: Any, axis: int, index: int) -> Any:
    """One slice with the axes that its panel shows: (y, x), (z, x) and (y, z)."""
    place = [slice(None), slice(None), slice(None)]
    chosen: tuple[Any, ...] = (*place[:axis], index, *place[axis + 1 :])
    return volume[chosen] if axis < 2 else volume[chosen].T


def _stretch(values: NDArray[Any]) -> tuple[float, float]:
    low, high = np.nanpercentile(values, (1, 99))
    return float(low), float(high if high > low else low + 1)


def _scale(heat: NDArray[Any], limit: float | tuple[float, float] | None, alpha: float) -> tuple[Any, Any]:
    """Colours that are clear at 0, so that the image shows: to red above; for signed maps also to blue below."""
    colors = require("matplotlib.colors", "plot", PURPOSE)
    if limit is None:
        limit = float(np.nanmax(np.abs(heat), initial=0.0))
    low, high = limit if isinstance(limit, tuple) else (-limit, limit)
    high = high if high > 0 else -low if low < 0 else 1.0
    above = colors.LinearSegmentedColormap.from_list("above", ABOVE)(np.linspace(0, 1, 256))
    below = colors.LinearSegmentedColormap.from_list("below", BELOW)(np.linspace(0, 1, 256))
    above[:, 3] = below[:, 3] = alpha * np.linspace(0, 1, 256)
    if np.nanmin(heat, initial=0.0) >= 0:
        return colors.Normalize(0.0, high), colors.ListedColormap(above)
    both = colors.ListedColormap(np.concatenate([below[::-1], above]))
    return colors.TwoSlopeNorm(0.0, low if low < 0 else -high, high), both


def _desaturated(picture: NDArray[Any], amount: float) -> NDArray[Any]:
    """Mix a colour image, uint8 or float, with its luma."""
    if picture.ndim == 2:
        return picture
    luma = (picture @ np.array([0.299, 0.587, 0.114]))[..., None]
    mixed: NDArray[Any] = ((1 - amount) * picture + amount * luma).astype(picture.dtype)
    return mixed


def _grey(axes: Any, picture: NDArray[Any], stretch: tuple[float, float]) -> None:
    if picture.ndim == 3:
        axes.imshow(picture if picture.dtype == np.uint8 else np.clip(picture, 0, 1), interpolation="nearest")
    else:
        axes.imshow(picture, cmap="gray", vmin=stretch[0], vmax=stretch[1], interpolation="nearest")


def _color_bar(figure: Any, drawn: Any, axes: Any) -> None:
    bar = figure.colorbar(drawn, ax=axes, fraction=0.05, shrink=0.8)
    low, high = drawn.norm.vmin, drawn.norm.vmax
    scales = "" if low >= 0 else ", one scale for both signs" if high == -low else ", each sign on a scale of its own"
    bar.set_label(f"class activation map{scales}")
    if low < 0 and high != -low:  # sides of different length: matplotlib would put all ticks on the longer one
        ticks = [low, low / 2, 0.0, high / 2, high]
        bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])


def _circles(axes: Any, markers: Sequence[Markers], axis: int, index: int) -> None:
    patches = require("matplotlib.patches", "plot", PURPOSE)
    horizontal, vertical = ((2, 1), (2, 0), (0, 1))[axis]
    for group in markers:
        for centre in group.centres:
            squared = group.radius**2 - (centre[axis] - index) ** 2
            if squared > 0:
                place = (centre[horizontal], centre[vertical])
                axes.add_patch(
                    patches.Circle(place, squared**0.5, fill=False, color=group.color, ls=group.style, lw=1.2)
                )


def _legend(markers: Sequence[Markers]) -> list[Any]:
    lines = require("matplotlib.lines", "plot", PURPOSE)
    return [lines.Line2D([], [], color=group.color, ls=group.style, label=group.label) for group in markers]


def _scale_bar(axes: Any, width: int, voxel_angstrom: float) -> None:
    """Draw a bar of a round length, about a fifth of the panel."""
    wanted = width * voxel_angstrom / 10 / 5
    magnitude = 10.0 ** np.floor(np.log10(wanted))
    length = max(step * magnitude for step in (1, 2, 5) if step * magnitude <= wanted)
    unit, nanometres = next((name, n) for name, n in UNITS if n <= length or n == 1)
    left, right = 0.04 * width, 0.04 * width + length * 10 / voxel_angstrom
    bottom, top = axes.get_ylim()
    effects = require("matplotlib.patheffects", "plot", PURPOSE)
    wide, narrow = ([effects.withStroke(linewidth=stroke, foreground="black")] for stroke in (4, 2))
    axes.plot([left, right], [0.95 * bottom + 0.05 * top] * 2, color="white", lw=2.5, path_effects=wide)
    axes.annotate(f"{length / nanometres:g} {unit}", ((left + right) / 2, 0.935 * bottom + 0.065 * top),
                  color="white", ha="center", va="bottom", fontsize=9, path_effects=narrow)  # fmt: skip
