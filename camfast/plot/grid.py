"""Many maps side by side: methods × classes, images × methods."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.plot.colors import color_bar, colors_of
from camfast.plot.image import as_array, draw_image, stretch_of
from camfast.plot.markers import draw_scale_bar
from camfast.plot.panels import bar_of_all, draw_map, ends_of, panel_inches, wrapped
from camfast.plot.planes import HORIZONTAL, Plane, check_plane, seen_along
from camfast.plot.style import new_figure

Scale = Literal["map", "row", "column", "shared"]
SCALES = {
    "map": "each map on a scale of its own, whose ends stand below it",
    "row": "one scale a row",
    "column": "one scale a column",
    "shared": "one scale for all maps",
}


def grid(
    image: Any,
    maps: Any,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    scale: Scale = "map",
    plane: Plane = None,
    axis: int = 0,
    show_image: bool = True,
    voxel_angstrom: Sequence[float] | None = None,
    title: str = "",
    limit: float | tuple[float, float] | None = None,
    alpha: float = 0.75,
    desaturate: float = 0.75,
    dark: bool = False,
) -> Any:
    """Draw maps in rows and columns, each over its image: methods × classes, images × methods.

    Parameters
    ----------
    image
        (H, W) or (H, W, 3) as of `overlay`, or a density (z, y, x); or a list of them, one a row.
    maps
        R rows of C maps, each of its image's size: a tensor (R, C, *S) or nested sequences. A signed map is drawn on a
        diverging scale centred at 0.
    rows, columns
        R and C labels.
    scale
        Which maps share their colours: ``"map"``, none, and its range stands below each; ``"row"``; ``"column"``;
        ``"shared"``, all. The picture says which.
    plane
        Of volumes: the slice to show, None for the middle one; ``"max"``: the value of largest absolute along the
        axis, with its sign, over the mean density.
    axis
        Of volumes: the axis to look along, 0, 1 or 2 for z, y or x.
    show_image
        Begin each row with the image alone.
    voxel_angstrom
        Of volumes: voxel size (z, y, x); adds a scale bar.
    title
        Text above.
    limit
        Value at the ends of every scale, see `overlay`; None: the largest absolute value of the maps that share it.
    alpha, desaturate, dark
        See `overlay`.

    Returns
    -------
    matplotlib.figure.Figure
        R rows of C panels, and one more before them for the image.

    Raises
    ------
    InputError
        If the numbers of labels, images and maps don't fit, or a map has another size than its image.

    Examples
    --------
    >>> image, maps = torch.rand(16, 24), torch.randn(2, 3, 16, 24)
    >>> figure = camfast.plot.grid(image, maps, rows=["gradcam", "respond"], columns=["cat", "dog", "tree"])
    >>> [axes.get_title() for axes in figure.axes[:4]]
    ['image', 'cat', 'dog', 'tree']
    """
    if scale not in SCALES:
        raise InputError(f"scale is {scale!r}, expected one of {', '.join(SCALES)}")
    pictures, heats = _panels(image, maps, (rows, columns), plane, axis)
    first = int(show_image)
    panel = panel_inches(pictures, len(columns) + first)
    width = max(4.6, (len(columns) + first) * (panel[1] + 0.12) + 1.3)
    with new_figure((width, len(rows) * (panel[0] + 0.28) + 0.9), dark=dark) as figure:
        axes = figure.subplots(len(rows), len(columns) + first, squeeze=False)
        drawn = np.empty((len(rows), len(columns)), dtype=object)
        for row, picture in enumerate(pictures):
            stretch = stretch_of(picture)
            if show_image:
                draw_image(axes[row, 0], picture, stretch)
            for column, heat in enumerate(heats[row]):
                one = axes[row, column + first]
                colors = colors_of(_sharing(heats, scale, row, column), limit, alpha)
                drawn[row, column] = draw_map(one, picture, heat, colors, stretch=stretch, desaturate=desaturate)
                if scale == "map":
                    one.set_xlabel(ends_of(drawn[row, column]), fontsize=7, labelpad=2)
            axes[row, 0].set_ylabel(wrapped(rows[row], panel[0]), fontsize=9)
        for one in axes.flat:
            one.set(xticks=[], yticks=[])
            one.spines[:].set_visible(False)
        for one, label in zip(axes[0], [*["image"] * first, *columns], strict=True):
            one.set_title(wrapped(label, panel[1]), fontsize=9)
        _bars(figure, axes[:, first:], drawn, scale)
        if voxel_angstrom is not None:
            draw_scale_bar(axes[0, 0], pictures[0].shape[1], voxel_angstrom[HORIZONTAL[axis]])
        figure.supxlabel(f"class activation maps: {SCALES[scale]}", fontsize=8)
        figure.suptitle(title)
    return figure


def _panels(
    image: Any, maps: Any, labels: tuple[Sequence[str], Sequence[str]], plane: Plane, axis: int
) -> tuple[list[NDArray[Any]], list[list[NDArray[Any]]]]:
    """The pictures of the images, one a row, and of the maps, row by row."""
    rows, columns = (len(one) for one in labels)
    images = image if isinstance(image, list) else [image] * rows
    found = [len(line) for line in maps]
    if rows == 0 or columns == 0 or found != [columns] * rows or len(images) != rows:
        raise InputError(
            f"{rows} row and {columns} column labels want as many rows of as many maps, and one image or one a row; "
            f"found rows of {found} maps and {len(images)} images"
        )
    pictures, heats = [], []
    for under, line in zip(images, maps, strict=True):
        shapes = {tuple(heat.shape) for heat in line}
        under = under if hasattr(under, "shape") else as_array(under)
        (shape,) = shapes if len(shapes) == 1 else (None,)
        size = tuple(under.shape) if shape is None or len(shape) == 3 else tuple(under.shape)[:2]
        if shape is None or len(shape) not in (2, 3) or size != shape:
            raise InputError(
                f"an image has the shape {tuple(under.shape)} and its maps {sorted(shapes)}, expected (H, W[, 3]) and "
                "(H, W), or (z, y, x) for both"
            )
        if len(shape) == 3:
            check_plane(plane, axis, shape)
            pictures.append(seen_along(under, plane, axis, is_map=False))
            heats.append([seen_along(heat, plane, axis, is_map=True) for heat in line])
        else:
            pictures.append(as_array(under))
            heats.append([as_array(heat) for heat in line])
    return pictures, heats


def _sharing(heats: list[list[NDArray[Any]]], scale: Scale, row: int, column: int) -> NDArray[Any]:
    """The values of all maps on the scale of one of them."""
    sharing = {
        "map": [heats[row][column]],
        "row": heats[row],
        "column": [line[column] for line in heats],
        "shared": [heat for line in heats for heat in line],
    }[scale]
    return np.concatenate([heat.ravel() for heat in sharing])


def _bars(figure: Any, axes: Any, drawn: Any, scale: Scale) -> None:
    if scale == "row":
        for row, line in enumerate(drawn):
            color_bar(figure, line[0], axes[row], label="")
    elif scale == "column":
        for column, line in enumerate(drawn.T):
            color_bar(figure, line[0], axes[:, column], label="", location="bottom")
    else:  # with a scale for each map the colours have a common meaning, but no common numbers
        bar_of_all(figure, list(drawn.flat), axes, numbers=scale == "shared")
