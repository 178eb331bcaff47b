"""A map over an image."""

from typing import Any

from camfast.errors import InputError
from camfast.plot.colors import color_bar, colors_of
from camfast.plot.image import as_array, stretch_of
from camfast.plot.panels import draw_map
from camfast.plot.style import new_figure


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

    Examples
    --------
    >>> figure = camfast.plot.overlay(torch.rand(16, 24), torch.randn(16, 24), title="respond: cat")
    >>> figure.axes[0].get_title()
    'respond: cat'
    """
    picture, values = as_array(image), as_array(heat)
    if picture.shape[:2] != values.shape or picture.ndim not in (2, 3):
        raise InputError(f"the image has the shape {picture.shape} and the map {values.shape}, expected (H, W[, 3])")
    colors = colors_of(values, limit, alpha)
    with new_figure((7.2, 6.0 * min(1.6, values.shape[0] / values.shape[1]) + 0.4), dark=dark) as figure:
        axes = figure.add_subplot()
        drawn = draw_map(axes, picture, values, colors, stretch=stretch_of(picture), desaturate=desaturate)
        axes.set_axis_off()
        axes.set_title(title)
        color_bar(figure, drawn, axes)
    return figure
