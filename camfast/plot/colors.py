"""How values become colours: a map over an image, clear at 0, and the bar that explains it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast._extras import require
from camfast.errors import InputError
from camfast.plot.style import PURPOSE

ABOVE = ("#ffc233", "#ff6a1a", "#d4001c")
BELOW = ("#7fd4ff", "#2f86ff", "#10239e")
NOT_A_NUMBER = "#ff00ff"


def colors_of(heat: NDArray[Any], limit: float | tuple[float, float] | None, alpha: float) -> tuple[Any, Any]:
    """Colours that are clear at 0, so that the image shows: to red above; for signed maps also to blue below.

    NaN is magenta, so that it is seen.
    """
    colors = require("matplotlib.colors", "plot", PURPOSE)
    if limit is None:
        limit = float(np.nanmax(np.abs(heat), initial=0.0))
    low, high = limit if isinstance(limit, tuple) else (-limit, limit)
    if low > 0 or high < 0:
        raise InputError(f"limit is {limit}, expected a number of at least 0, or (low, high) on both sides of 0")
    high = high if high > 0 else -low if low < 0 else 1.0
    above = colors.LinearSegmentedColormap.from_list("above", ABOVE)(np.linspace(0, 1, 256))
    below = colors.LinearSegmentedColormap.from_list("below", BELOW)(np.linspace(0, 1, 256))
    above[:, 3] = below[:, 3] = alpha * np.linspace(0, 1, 256)
    if np.nanmin(heat, initial=0.0) >= 0:
        return colors.Normalize(0.0, high), colors.ListedColormap(above).with_extremes(bad=NOT_A_NUMBER)
    both = colors.ListedColormap(np.concatenate([below[::-1], above])).with_extremes(bad=NOT_A_NUMBER)
    return colors.TwoSlopeNorm(0.0, low if low < 0 else -high, high), both


def color_bar(
    figure: Any,
    drawn: Any,
    axes: Any,
    *,
    label: str = "class activation map",
    numbers: bool = True,
    location: str = "right",
    aspect: float = 20,
) -> None:
    """Draw the bar of a map's colours, which says how signs are scaled; without numbers only their order."""
    bar = figure.colorbar(drawn, ax=axes, fraction=0.05, shrink=0.8, location=location, aspect=aspect)
    low, high = drawn.norm.vmin, drawn.norm.vmax
    scales = "" if low >= 0 else ", one scale for both signs" if high == -low else ", each sign on a scale of its own"
    bar.set_label(f"{label}{scales}" if label else "")
    ends = [low] if low < 0 else []
    if not numbers:
        bar.set_ticks([*ends, 0.0, high], labels=[*["−largest"][: len(ends)], "0", "largest"])
    elif low < 0 and high != -low:  # sides of different length: matplotlib would put all ticks on the longer one
        ticks = [low, low / 2, 0.0, high / 2, high]
        bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])


def short(value: float) -> str:
    """A number in few letters: two digits or more, thousands without an exponent, and a true minus."""
    text = f"{value:.0f}" if 100 <= abs(value) < 1e5 else f"{value:.2g}"
    return text.replace("-", "−")
