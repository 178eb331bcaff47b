"""The central slices of a volume with its map over them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from camfast.errors import InputError
from camfast.plot.colors import color_bar, colors_of
from camfast.plot.image import as_array, draw_image, stretch_of
from camfast.plot.markers import Markers, draw_circles, draw_scale_bar, legend_of
from camfast.plot.planes import plane_of
from camfast.plot.style import new_figure


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
        If the volume has not three axes, the map another shape, or the centre lies outside.

    Examples
    --------
    >>> figure = camfast.plot.slices(torch.rand(8, 10, 12), torch.randn(8, 10, 12), centre=(4, 2, 6))
    >>> [axes.get_title() for axes in figure.axes[:3]]
    ['z = 4', 'y = 2', 'x = 6']
    """
    shape = tuple(int(n) for n in volume.shape)
    if len(shape) != 3 or (cam is not None and tuple(cam.shape) != shape):
        found = "" if cam is None else f" and the map {tuple(cam.shape)}"
        raise InputError(f"the volume has the shape {shape}{found}, expected (z, y, x), the same for both")
    at = [n // 2 for n in shape] if centre is None else [int(n) for n in centre]
    if len(at) != 3 or not all(0 <= index < extent for index, extent in zip(at, shape, strict=True)):
        raise InputError(f"centre is {tuple(centre or at)}, expected a voxel (z, y, x) of a volume of {shape}")
    if isinstance(voxel_angstrom, int | float):
        raise InputError(f"voxel_angstrom is {voxel_angstrom}, expected one number for each of z, y and x")
    depth, height, width = shape
    cuts = [as_array(plane_of(volume, axis, at[axis])) for axis in range(3)]
    density = stretch_of(np.concatenate([cut.ravel() for cut in cuts]))
    heats = [] if cam is None else [as_array(plane_of(cam, axis, at[axis])) for axis in range(3)]
    if heats and limit is None:
        limit = float(np.nanpercentile(np.abs(np.concatenate([heat.ravel() for heat in heats])), 99.9)) or None
    inches = 7.5 / max(width + depth, height + depth)
    size = ((width + depth) * inches + (1.8 if heats else 0.3), (height + depth) * inches + 1.0)
    if heats:
        norm, colormap = colors_of(np.concatenate([heat.ravel() for heat in heats]), limit, alpha)
    with new_figure(size, dark=dark) as figure:
        grid = figure.add_gridspec(2, 2, width_ratios=[width, depth], height_ratios=[height, depth])
        panels = [figure.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (0, 1))]
        for axis, (axes, cut) in enumerate(zip(panels, cuts, strict=True)):
            draw_image(axes, cut, density)
            if heats:
                drawn = axes.imshow(heats[axis], cmap=colormap, norm=norm, interpolation="nearest")
            axes.autoscale(enable=False)  # circles at the border don't widen the panel
            draw_circles(axes, markers, axis, at[axis])
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_title(f"{'zyx'[axis]} = {at[axis]}", fontsize=9)
        if heats:
            color_bar(figure, drawn, panels)
        if voxel_angstrom is not None:
            draw_scale_bar(panels[0], width, voxel_angstrom[2])
        if markers:
            figure.legend(handles=legend_of(markers), loc="outside lower center", ncols=len(markers), frameon=False)
        figure.suptitle(title)
    return figure
