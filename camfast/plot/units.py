"""An attentive response: which units answer where."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.errors import InputError
from camfast.plot.colors import color_bar, colors_of
from camfast.plot.image import as_array, desaturated, draw_image, stretch_of
from camfast.plot.panels import draw_map
from camfast.plot.planes import Plane, check_plane, seen_along
from camfast.plot.style import PURPOSE, line_colors, new_figure

if TYPE_CHECKING:
    from camfast.backprop import AttentiveResponse

SIZE = 2.6
"""Of a panel, in inches."""
REST = "#9a9a9a"
ACROSS = 4
VISIBLE = 0.05
"""A response below this part of the scale's end names no unit."""


def units(
    image: Any,
    response: "AttentiveResponse",
    *,
    sample: int = 0,
    count: int = 5,
    plane: Plane = None,
    title: str = "",
    limit: float | tuple[float, float] | None = None,
    alpha: float = 0.9,
    dark: bool = False,
) -> Any:
    """Draw an attentive response: the image, the response, who dominates it, and the strongest units apart.

    Parameters
    ----------
    image
        The sample's input, (H, W), (H, W, 3) or (z, y, x).
    response
        What `camfast.attentive_response` found; its units stand apart where it was asked for ``per_unit=True``.
    sample
        Which of the batch.
    count
        How many units have a colour and a panel of their own, the strongest first, at most 8; the rest is grey.
    plane
        Of volumes: the slice z to show, None for the middle one; ``"max"``: the value of largest absolute along z.
    title
        Text above.
    limit
        Value at the scale's ends, see `overlay`; None: the 99th percentile of the response's absolute value, as a few
        pixels are far above all others.
    alpha
        Opacity at the end of the scale.
    dark
        Light text on dark ground.

    Returns
    -------
    matplotlib.figure.Figure
        Image, response with its colour bar, the dominant unit at each pixel as a colour; then the units' own
        responses, on one scale with the response.

    Raises
    ------
    InputError
        If image and response have different sizes, or there are no such sample or count.

    References
    ----------
    Kumar et al. 2018, Fig. 5 and 6.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU())
    >>> image = torch.rand(1, 1, 8, 8)
    >>> response = camfast.attentive_response(model, image, "1", 3, per_unit=True)
    >>> figure = camfast.plot.units(image[0, 0], response, count=2)
    >>> [axes.get_title() for axes in figure.axes[:3]]
    ['image', 'response of 3 units', 'dominant unit']
    """
    if not 0 <= sample < len(response.values):
        raise InputError(f"sample is {sample}, and the response has {len(response.values)}, counted from 0")
    if not 1 <= count <= len(line_colors(dark=dark)):
        raise InputError(
            f"count is {count}, expected 1 to {len(line_colors(dark=dark))}: more colours can't be told apart"
        )
    found = response.values[sample]
    under = image if hasattr(image, "shape") else as_array(image)
    volume = found.ndim == 3
    if found.ndim not in (2, 3) or tuple(under.shape[: 3 if volume else 2]) != tuple(found.shape):
        raise InputError(
            f"the image has the shape {tuple(under.shape)} and the response {tuple(found.shape)}, expected (H, W[, 3]) "
            "and (H, W), or (z, y, x) for both"
        )
    if volume:
        check_plane(plane, 0, tuple(found.shape))
    strongest = [int(unit) for unit in response.units[sample][:count]]
    heat = _shown(found, plane)
    if limit is None:
        limit = float(np.nanpercentile(np.abs(heat), 99)) or None
    picture = seen_along(under, plane, 0, is_map=False) if volume else as_array(under)
    apart = [] if response.maps is None else [_shown(one, plane) for one in response.maps[sample][:count]]
    norm, colormap = colors_of(np.concatenate([one.ravel() for one in (heat, *apart)]), limit, alpha)
    who = np.where(np.abs(heat) > VISIBLE * norm.vmax, _dominant(found, response.unit[sample], plane), -1)
    across = min(ACROSS, 3 + len(apart))
    down = math.ceil((3 + len(apart)) / across)
    height = SIZE * picture.shape[0] / picture.shape[1] + 0.35
    with new_figure((across * (SIZE + 0.1) + 1.2, down * height + 1.0), dark=dark) as figure:
        panels = figure.subplots(down, across, squeeze=False)
        places = panels.flatten()
        for panel in places:
            panel.set_axis_off()
        stretch = stretch_of(picture)
        draw_image(places[0], picture, stretch)
        for panel, one in zip([places[1], *places[3:]], [heat, *apart], strict=False):
            drawn = draw_map(panel, picture, one, (norm, colormap), stretch=stretch, desaturate=1.0)
        draw_image(places[2], desaturated(picture, 1.0), stretch)
        places[2].imshow(_colored(who, strongest, dark=dark), interpolation="nearest")
        for panel, text in zip(
            places, ["image", f"response of {response.units.shape[1]} units", "dominant unit"], strict=False
        ):
            panel.set_title(text, fontsize=9)
        colors = line_colors(dark=dark)
        for panel, unit, color in zip(places[3 : 3 + len(apart)], strongest, colors, strict=False):
            panel.set_title(f"unit {unit}", fontsize=9, color=color, fontweight="bold")
        color_bar(figure, drawn, panels, label="response", aspect=30)
        handles = _legend(strongest, who, dark=dark)
        figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles) if len(handles) <= 6 else 5, frameon=False
        )
        figure.suptitle(title)
    return figure


def _shown(values: Any, plane: Plane) -> NDArray[Any]:
    return seen_along(values, plane, 0, is_map=True) if values.ndim == 3 else as_array(values)


def _dominant(values: Any, unit: Any, plane: Plane) -> NDArray[np.int64]:
    """The unit behind each pixel that is shown."""
    numbers: NDArray[np.int64] = unit.detach().cpu().numpy().astype(np.int64)
    if numbers.ndim == 2:
        return numbers
    if plane == "max":
        places = np.abs(as_array(values)).argmax(0)[None]
        numbers = np.take_along_axis(numbers, places, 0)
        plane = 0
    shown: NDArray[np.int64] = numbers[len(numbers) // 2 if plane is None else plane]
    return shown


def _colored(who: NDArray[np.int64], strongest: list[int], *, dark: bool) -> NDArray[np.float64]:
    """Colours (H, W, 4) of the dominant units, clear where nothing answers."""
    colors = require("matplotlib.colors", "plot", PURPOSE)
    colored = np.zeros((*who.shape, 4))
    colored[who >= 0] = colors.to_rgba(REST, 0.7)
    for unit, color in zip(strongest, line_colors(dark=dark), strict=False):
        colored[who == unit] = colors.to_rgba(color, 0.85)
    return colored


def _legend(strongest: list[int], who: NDArray[np.int64], *, dark: bool) -> list[Any]:
    """A patch a unit with the part of the answering pixels that it dominates."""
    patches = require("matplotlib.patches", "plot", PURPOSE)
    answering = max(1, int((who >= 0).sum()))
    parts = [
        (unit, color, int((who == unit).sum())) for unit, color in zip(strongest, line_colors(dark=dark), strict=False)
    ]
    handles = [
        patches.Patch(color=color, label=f"unit {unit}: {100 * n / answering:.0f} %") for unit, color, n in parts
    ]
    rest = int((who >= 0).sum()) - sum(n for _, _, n in parts)
    if rest:
        handles.append(patches.Patch(color=REST, label=f"others: {100 * rest / answering:.0f} %"))
    return handles
