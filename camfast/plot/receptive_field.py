"""An effective receptive field with the Gaussian fitted to it."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.errors import InputError
from camfast.plot.planes import HORIZONTAL, plane_of
from camfast.plot.style import PURPOSE, line_colors, new_figure

if TYPE_CHECKING:
    from camfast.receptive_field import ReceptiveField

REACH = 4.0
"""How far from the centre is shown, in σ."""
SIZE = 3.4
"""Of a panel, in inches."""


def receptive_field(field: "ReceptiveField", *, title: str = "", dark: bool = False) -> Any:
    """Draw a receptive field: pictures of it with the Gaussian's 1σ and 2σ contours, and its sums along each axis.

    A sum's Gaussian has the fitted centre and σ and the amplitude that fits best, a = Σ F·g / Σ g² with g of height 1.

    Parameters
    ----------
    field
        What `camfast.effective_receptive_field` found, with one to three spatial axes; of a volume the slices through
        the centre are drawn.
    title
        Text above.
    dark
        Light text on dark ground.

    Returns
    -------
    matplotlib.figure.Figure
        Panels that look along each axis of a volume, one of an image, none in 1-D; then the sums over all other axes,
        measured as dots and fitted as lines, in input pixels from the centre.

    Raises
    ------
    InputError
        If the numbers of axes don't fit each other.

    Examples
    --------
    >>> x = torch.arange(33.0) - 16
    >>> gaussian = torch.exp(-(x[:, None] ** 2 / 18 + x**2 / 32))
    >>> field = camfast.ReceptiveField((3.0, 4.0), (16.0, 16.0), 1.0, (1.0, 1.0), 10, gaussian)
    >>> len(camfast.plot.receptive_field(field).axes)
    2
    """
    values = field.field.detach().double().cpu().numpy()
    if not values.ndim == len(field.sigma) == len(field.centre) or values.ndim not in (1, 2, 3):
        raise InputError(
            f"the field has {values.ndim} axes, {len(field.sigma)} σ and {len(field.centre)} centres, expected as many "
            "of each, 1 to 3"
        )
    views = {1: 0, 2: 1, 3: 3}[values.ndim]
    with new_figure(((views + 1) * SIZE + 1.6, SIZE + 0.8), dark=dark) as figure:
        axes = figure.subplots(1, views + 1, squeeze=False, width_ratios=[*[1.0] * views, 1.3])[0]
        for view, panel in enumerate(axes[:views]):
            _draw_view(panel, field, values, view if values.ndim == 3 else None)
        _draw_profiles(axes[-1], field, values, dark=dark)
        figure.suptitle(title)
    return figure


def _middle(field: "ReceptiveField", shape: tuple[int, ...]) -> tuple[int, ...]:
    """The pixel at the centre, or the nearest there is."""
    return tuple(int(np.clip(round(c), 0, n - 1)) for c, n in zip(field.centre, shape, strict=True))


def _draw_view(panel: Any, field: "ReceptiveField", values: NDArray[np.float64], along: int | None) -> None:
    patches = require("matplotlib.patches", "plot", PURPOSE)
    if along is None:
        picture, across, down = values, 1, 0
    else:
        picture = plane_of(values, along, _middle(field, values.shape)[along])
        across = HORIZONTAL[along]
        down = 3 - along - across
        panel.set_title(f"{'zyx'[along]} = {_middle(field, values.shape)[along]}", fontsize=9)
    panel.imshow(picture, cmap="viridis", vmin=0.0, interpolation="nearest")
    for times, style in ((1, "-"), (2, "--")):
        size = (2 * times * field.sigma[across], 2 * times * field.sigma[down])
        place = (field.centre[across], field.centre[down])
        panel.add_patch(patches.Ellipse(place, *size, fill=False, color="white", lw=1.5, ls=style))
    for axis, limit in ((across, panel.set_xlim), (down, panel.set_ylim)):
        first, last = _window(field, values.shape, axis)
        limit(*((first, last) if axis == across else (last, first)))
    names = "zyx"[3 - values.ndim :]
    panel.set(xlabel=f"{names[across]} in input pixels", ylabel=f"{names[down]} in input pixels")


def _window(field: "ReceptiveField", shape: tuple[int, ...], axis: int) -> tuple[float, float]:
    """The part of an axis that is shown."""
    reach = REACH * field.sigma[axis]
    return max(-0.5, field.centre[axis] - reach), min(shape[axis] - 0.5, field.centre[axis] + reach)


def _draw_profiles(panel: Any, field: "ReceptiveField", values: NDArray[np.float64], *, dark: bool) -> None:
    names = "zyx"[3 - values.ndim :]
    for axis, color in zip(range(values.ndim), line_colors(dark=dark), strict=False):
        places = np.arange(values.shape[axis]) - field.centre[axis]
        measured = values.sum(tuple(other for other in range(values.ndim) if other != axis))
        largest = float(np.abs(measured).max()) or 1.0
        fine = np.linspace(places[0], places[-1], 500)
        fitted = gaussian_through(places, measured, field.sigma[axis], fine)
        label = f"{names[axis]}: σ = {field.sigma[axis]:.1f}, R² = {field.r_squared_per_axis[axis]:.3f}"
        panel.plot(places, measured / largest, ".", color=color, ms=4)
        panel.plot(fine, fitted / largest, color=color, label=label)
    reach = REACH * max(field.sigma)
    panel.set_xlim(-reach, reach)
    panel.set_ylim(0, 1.45)  # room for the legend
    summed = "field" if values.ndim == 1 else "sum over the other axes"
    panel.set(xlabel="input pixels from the centre", ylabel=f"{summed}, largest = 1")
    images = f"{field.images} image{'s' if field.images != 1 else ''}"
    panel.set_title(f"R² = {field.r_squared:.3f} of {images}; dots measured, lines fitted", fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=9, loc="upper left")


def gaussian_through(
    places: NDArray[Any], measured: NDArray[np.float64], sigma: float, fine: NDArray[Any]
) -> NDArray[np.float64]:
    """At finer places the Gaussian of this σ around 0 whose amplitude fits best, a = Σ F·g / Σ g²."""
    known = np.exp(-((places / sigma) ** 2) / 2)
    curve: NDArray[np.float64] = np.vdot(measured, known) / np.vdot(known, known) * np.exp(-((fine / sigma) ** 2) / 2)
    return curve
