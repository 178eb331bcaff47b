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
LIGHT = {"figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white"}


@contextmanager
def new_figure(size: tuple[float, float], *, dark: bool) -> Iterator[Any]:
    """Make a figure of a size in inches, on light or dark ground while the block draws."""
    matplotlib = require("matplotlib", "plot", PURPOSE)
    module = require("matplotlib.figure", "plot", PURPOSE)
    with matplotlib.rc_context(DARK if dark else LIGHT):
        yield module.Figure(figsize=size, layout="constrained")
