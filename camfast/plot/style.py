"""The ground that figures are drawn on, and how one is made."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from camfast._extras import require

PURPOSE = "drawing figures"
DARK = {
    "figure.facecolor": "#16181c",
    "axes.facecolor": "#16181c",
    "savefig.facecolor": "#16181c",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), "#e6e6e6"),
}
"""matplotlib's settings for light text on dark ground, which ``dark=True`` stands for; for `matplotlib.rc_context`."""

LIGHT = {"figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white"}
"""matplotlib's settings for dark text on white ground, the default; for `matplotlib.rc_context`."""

_PLAIN = {"text.parse_math": False}  # a $ in a label or the name of a file is one

FRAMED = 0.08
"""Room on each side of a panel with a frame, in inches: frames of neighbours don't touch."""

# Okabe and Ito's colours, which colour-blind people tell apart: those that stand out from each ground
LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#e69f00", "#000000")
LINES_ON_DARK = ("#56b4e9", "#e69f00", "#2fc79b", "#f0a8cf", "#f0e442", "#4d8fd6", "#ff8a3d", "#ffffff")


def line_colors(*, dark: bool) -> tuple[str, ...]:
    """Colours of lines and of categories."""
    return LINES_ON_DARK if dark else LINES


@contextmanager
def new_figure(size: tuple[float, float], *, dark: bool) -> Iterator[Any]:
    """Make a figure of a size in inches, on light or dark ground while the block draws."""
    matplotlib = require("matplotlib", "plot", PURPOSE)
    module = require("matplotlib.figure", "plot", PURPOSE)
    with matplotlib.rc_context({**(DARK if dark else LIGHT), **_PLAIN}):
        yield module.Figure(figsize=size, layout="constrained")
