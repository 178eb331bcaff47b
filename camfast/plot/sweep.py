"""One target at many layers: from which depth on a grid is too small for it."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.errors import InputError
from camfast.plot.colors import colors_of, short
from camfast.plot.image import as_array, draw_image, stretch_of
from camfast.plot.markers import draw_scale_bar
from camfast.plot.panels import bar_of_all, draw_map, ends_of, panel_inches, wrapped
from camfast.plot.planes import HORIZONTAL, Plane, check_plane, seen_along
from camfast.plot.style import FRAMED, PURPOSE, line_colors, new_figure
from camfast.regions import Region

if TYPE_CHECKING:
    from camfast.sweep import LayerSweep, SweptLayer

ACROSS = 5


def sweep(
    image: Any,
    sweep: "LayerSweep",
    *,
    sample: int = 0,
    plane: Plane = None,
    axis: int = 0,
    voxel_angstrom: Sequence[float] | None = None,
    title: str = "",
    alpha: float = 0.75,
    desaturate: float = 0.75,
    dark: bool = False,
) -> Any:
    """Draw the maps of one target at many layers, each cell as the rectangle of the image that it stands for.

    Nothing is smoothed, so that a panel shows how coarse its layer's grid is. Cells tile the image here, which is where
    they lie but for the half-pixels of strides and paddings.

    Parameters
    ----------
    image
        The sample's input, (H, W), (H, W, 3) or (z, y, x).
    sweep
        What `camfast.layer_sweep` found, with grids of two or three axes.
    sample
        Which of the batch.
    plane
        Of volumes: the slice of the image to show, and of each map the cells that it cuts; None for the middle one;
        ``"max"``: the value of largest absolute along the axis, with its sign, over the mean density.
    axis
        Of volumes: the axis to look along, 0, 1 or 2 for z, y or x.
    voxel_angstrom
        Of volumes: voxel size (z, y, x); adds a scale bar.
    title
        Text above.
    alpha, desaturate, dark
        See `overlay`.

    Returns
    -------
    matplotlib.figure.Figure
        The image, then a panel a layer: above it name, cells and input pixels a cell; below it the ends of its scale,
        or "empty". For a `camfast.Region` its outline is drawn in every panel, below stand the cells that its area
        comes to and the share of Σ|L| inside of it, and a dashed frame marks layers of which a cell is larger.

    Raises
    ------
    InputError
        If the image has another size than what was swept, or there are no such sample, plane or axis.

    Examples
    --------
    >>> from torch.nn import Conv2d, MaxPool2d, ReLU, Sequential, Upsample
    >>> model = Sequential(Conv2d(1, 4, 3, padding=1), ReLU(), MaxPool2d(4), Upsample(scale_factor=4), Conv2d(4, 2, 1))
    >>> image = torch.rand(1, 1, 16, 16)
    >>> found = camfast.layer_sweep(model, image, ["1", "2"], camfast.Region(1, (9, 9)), method="hirescam", relu=False)
    >>> figure = camfast.plot.sweep(image[0, 0], found)
    >>> [axes.get_title().splitlines() for axes in figure.axes[:3]]
    [['image'], ['1', '16 × 16 cells of 1 px'], ['2', '4 × 4 cells of 4 px']]
    """
    if not 0 <= sample < len(sweep.scores):
        raise InputError(f"sample is {sample}, and the sweep has {len(sweep.scores)}, counted from 0")
    under = image if hasattr(image, "shape") else as_array(image)
    size = _size(sweep, tuple(under.shape))
    volume = len(size) == 3
    if volume:
        check_plane(plane, axis, size)
    picture = seen_along(under, plane, axis, is_map=False) if volume else as_array(under)
    outline = _outline(sweep, sample, plane, axis)
    stretch = stretch_of(picture)
    across = min(ACROSS, 1 + len(sweep.layers))
    down = math.ceil((1 + len(sweep.layers)) / across)
    inches = panel_inches([picture], across)
    below = 0.62 + 0.15 * (outline is not None)
    width = max(4.6, across * (inches[1] + 2 * FRAMED) + 1.0)
    with new_figure((width, down * (inches[0] + below) + 0.8), dark=dark) as figure:
        figure.get_layout_engine().set(w_pad=FRAMED)
        panels = figure.subplots(down, across, squeeze=False).flatten()
        draw_image(panels[0], picture, stretch)
        panels[0].set_title("image", fontsize=9)
        drawn = []
        for panel, layer in zip(panels[1:], sweep.layers, strict=False):
            heat = _cut(layer, sample, plane, axis, size)
            one = draw_map(panel, picture, heat, colors_of(heat, None, alpha), stretch=stretch, desaturate=desaturate)
            drawn.append(one)
            panel.set_title(_heading(layer, inches[1], volume=volume), fontsize=9)
            ends = "empty" if bool(layer.empty[sample]) else ends_of(one)
            panel.set_xlabel("\n".join([ends, *_of_region(layer, sample)]), fontsize=8, labelpad=4)
        for panel in panels[: 1 + len(sweep.layers)]:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
            if outline is not None:
                _draw_outline(panel, outline, picture.shape[:2])
        for panel, layer in zip(panels[1:], sweep.layers, strict=False):
            if _is_too_small(layer, sample):
                panel.spines[:].set(visible=True, color=line_colors(dark=dark)[1], linewidth=2.5, linestyle="--")
        for panel in panels[1 + len(sweep.layers) :]:
            panel.remove()
        bar_of_all(figure, drawn, panels[: 1 + len(sweep.layers)], numbers=False)
        if voxel_angstrom is not None:
            draw_scale_bar(panels[0], picture.shape[1], voxel_angstrom[HORIZONTAL[axis]])
        figure.supxlabel(_caption(sweep, sample), fontsize=8)
        figure.suptitle(title)
    return figure


def _size(sweep: "LayerSweep", shape: tuple[int, ...]) -> tuple[int, ...]:
    """The spatial size of what was swept, which must be that of the image."""
    first = sweep.layers[0]
    size = tuple(round(cells * pixels) for cells, pixels in zip(first.grid, first.pixels, strict=False))
    ranks = {len(layer.grid) for layer in sweep.layers}
    colour = len(size) == 2 and shape == (*size, 3)
    if ranks not in ({2}, {3}) or not (colour or shape == size):
        grids = ", ".join(f"{layer.name}: {layer.grid}" for layer in sweep.layers)
        raise InputError(
            f"the image has the shape {shape}, and the sweep an input of {size} and the grids {grids}; expected "
            "(H, W[, 3]) or (z, y, x) of the input's size, and grids of as many axes"
        )
    return size


def _cut(layer: "SweptLayer", sample: int, plane: Plane, axis: int, size: tuple[int, ...]) -> NDArray[Any]:
    """The cells of a layer that the plane of the image shows."""
    maps = layer.maps[sample]
    if maps.ndim == 2:
        return as_array(maps)
    return seen_along(maps, _scaled(plane, size[axis], layer.grid[axis]), axis, is_map=True)


def _scaled(plane: Plane, extent: int, cells: int) -> Plane:
    """The cell, or slice of a mask, that a slice of the image lies in."""
    if plane == "max":
        return plane
    place = extent // 2 if plane is None else int(plane)
    return min(cells - 1, int((place + 0.5) * cells / extent))


def _outline(sweep: "LayerSweep", sample: int, plane: Plane, axis: int) -> NDArray[np.bool_] | None:
    """Where a region is in the picture; None for other targets."""
    if not isinstance(sweep.targets, Region):
        return None
    mask = sweep.targets.mask(sweep.scores)[sample]
    if mask.ndim == 3:
        extent = round(sweep.layers[0].grid[axis] * sweep.layers[0].pixels[axis])
        return seen_along(mask, _scaled(plane, extent, mask.shape[axis]), axis, is_map=True) > 0
    return as_array(mask) > 0


def _draw_outline(panel: Any, region: NDArray[np.bool_], size: tuple[int, int]) -> None:
    if not region.any():
        return
    effects = require("matplotlib.patheffects", "plot", PURPOSE)
    places = [(np.arange(-1, n + 1) + 0.5) * extent / n - 0.5 for n, extent in zip(region.shape, size, strict=True)]
    line = panel.contour(places[1], places[0], np.pad(region, 1), levels=[0.5], colors="white", linewidths=1.2)
    line.set_path_effects([effects.withStroke(linewidth=2.6, foreground="black")])
    panel.set(xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))


def _heading(layer: "SweptLayer", inches: float, *, volume: bool) -> str:
    cells = " × ".join(map(str, layer.grid))
    sizes = [f"{pixels:.3g}" for pixels in layer.pixels]
    each = sizes[0] if len(set(sizes)) == 1 else " × ".join(sizes)
    unit = "px" if not volume else "voxel" if each == "1" else "voxels"
    return wrapped(f"{layer.name}\n{cells} cells of {each} {unit}", inches)


def _is_too_small(layer: "SweptLayer", sample: int) -> bool:
    return layer.cells is not None and bool(layer.cells[sample] < 1)


def _of_region(layer: "SweptLayer", sample: int) -> list[str]:
    """The line about a region, if there is one."""
    if layer.cells is None or layer.inside is None:
        return []
    cells, inside = float(layer.cells[sample]), float(layer.inside[sample])
    share = "" if math.isnan(inside) else f", {100 * inside:.0f} % inside"
    return [f"{short(cells)} cells{': too small' if _is_too_small(layer, sample) else ''}{share}"]


def _caption(sweep: "LayerSweep", sample: int) -> str:
    text = f"{sweep.method}, each map on a scale of its own, whose ends stand below it"
    if any(layer.cells is not None for layer in sweep.layers):
        text += "\nthe region's size in cells, and the share of Σ|L| inside of it"
    if any(_is_too_small(layer, sample) for layer in sweep.layers):
        text += "; dashed frame: a cell is larger than the region"
    if sweep.failures:
        text += f"\nwithout a map: {', '.join(sweep.failures)}"
    return text
