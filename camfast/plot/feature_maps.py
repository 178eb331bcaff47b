"""The feature maps that weigh most in a map, with their weights."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.plot.colors import short
from camfast.plot.image import as_array, draw_image, stretch_of
from camfast.plot.planes import plane_of
from camfast.plot.style import FRAMED, line_colors, new_figure

ACROSS = 5
SIZE = 2.0
"""Of a panel, in inches."""


def feature_maps(
    image: Any, activations: Any, weights: Any, *, count: int = 9, title: str = "", dark: bool = False
) -> Any:
    """Draw the feature maps with the largest absolute weights, largest first.

    Of a volume each panel shows the slice z through the feature map's largest absolute value, and the image the slice
    at the same depth as the first of them.

    Parameters
    ----------
    image
        The input, (H, W), (H, W, 3) or (z, y, x), drawn first; None leaves it out.
    activations
        A of one sample, (C, *S_grid), with two or three spatial axes: what `camfast.capture` keeps of a layer.
    weights
        w of one sample and target, (C,): of ``Explanation.weights``.
    count
        How many; fewer where there are fewer.
    title
        Text above.
    dark
        Light text on dark ground.

    Returns
    -------
    matplotlib.figure.Figure
        Each panel is titled with its channel and weight, framed by the weight's sign, and black at 0 or below and white
        at its own largest value, which stands below it.

    Raises
    ------
    InputError
        If the shapes don't fit each other.

    References
    ----------
    Zhao et al. 2018, Fig. 2.

    Examples
    --------
    >>> figure = camfast.plot.feature_maps(None, torch.rand(3, 5, 5), torch.tensor([0.1, -2.0, 0.5]), count=2)
    >>> [axes.get_title() for axes in figure.axes]
    ['1: w = −2', '2: w = +0.5']
    """
    A, w = as_array(activations), as_array(weights).astype(np.float64)
    if A.ndim not in (3, 4) or w.shape != A.shape[:1] or count < 1:
        raise InputError(
            f"activations have the shape {A.shape} and weights {w.shape}, expected (C, [z, ]y, x) and (C,); "
            f"count is {count}, at least 1"
        )
    under = None if image is None else as_array(image)
    colour = under is not None and A.ndim == 3 and under.ndim == 3 and under.shape[2] == 3
    if under is not None and under.ndim != A.ndim - 1 and not colour:
        raise InputError(f"the image has the shape {under.shape}, and the feature maps {A.shape[1:]}")
    order = np.argsort(-np.abs(w), kind="stable")[:count]
    first = int(under is not None)
    across = min(ACROSS, len(order) + first)
    down = math.ceil((len(order) + first) / across)
    plus, minus = (line_colors(dark=dark)[place] for place in (1, 0))
    with new_figure((across * (SIZE + 2 * FRAMED) + 0.2, down * (SIZE + 0.65) + 0.6), dark=dark) as figure:
        figure.get_layout_engine().set(w_pad=FRAMED)
        panels = figure.subplots(down, across, squeeze=False).flatten()
        for panel, k in zip(panels[first:], order, strict=False):
            picture, where = _through_largest(A[k])
            largest = float(picture.max())
            draw_image(panel, picture, (0.0, largest if largest > 0 else 1.0))
            panel.set_title(f"{k}: w = {'+' if w[k] > 0 else ''}{short(w[k])}", fontsize=9)
            panel.set_xlabel(f"{where}0 to {short(largest)}", fontsize=8, labelpad=4)
            panel.spines[:].set(color=plus if w[k] > 0 else minus, linewidth=3, linestyle="-" if w[k] > 0 else "--")
        if under is not None:
            picture, where = _image_panel(under, A[order[0]])
            draw_image(panels[0], picture, stretch_of(picture))
            panels[0].set_title("image", fontsize=9)
            panels[0].set_xlabel(where, fontsize=8, labelpad=4)
            panels[0].spines[:].set_visible(False)
        for panel in panels:
            panel.set(xticks=[], yticks=[])
        for panel in panels[len(order) + first :]:
            panel.remove()
        figure.supxlabel("frame: weight above 0 (solid), below 0 (dashed)", fontsize=8)
        figure.suptitle(title)
    return figure


def _through_largest(values: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """A feature map's picture: all of it, or the slice through its largest absolute value, and which that is."""
    if values.ndim == 2:
        return values, ""
    z = int(np.unravel_index(np.abs(values).argmax(), values.shape)[0])
    return values[z], f"z = {z}; "


def _image_panel(image: NDArray[Any], feature: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """The image, or its slice at the depth of a feature map's: where the middles of both cells lie alike."""
    if feature.ndim == 2:
        return image, ""
    z = int(np.unravel_index(np.abs(feature).argmax(), feature.shape)[0])
    depth = min(len(image) - 1, int((z + 0.5) * len(image) / len(feature)))
    return plane_of(image, 0, depth), f"z = {depth}"
