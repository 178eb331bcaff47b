"""An axis of an upsampling, as the kernels take it: a band that says of which cells each pixel is made."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Axis(NamedTuple):
    """An axis of an upsampling.

    Attributes
    ----------
    cells, pixels
        Its sizes in the grid and in the map.
    first, weights
        The first cell of each pixel, int32 (pixels,), and the weights of that cell and those behind it, (taps, pixels);
        None for an axis that stays as it is.
    """

    cells: int
    pixels: int
    first: Tensor | None
    weights: Tensor | None

    @property
    def taps(self) -> int:
        """Cells that a pixel is made of; 0 for an axis that stays as it is."""
        return 0 if self.weights is None else self.weights.shape[0]


def padded(axes: Sequence[Axis]) -> tuple[Axis, Axis, Axis]:
    """Three axes: those that are missing stand in front, with one cell and one pixel."""
    z, y, x = [Axis(1, 1, None, None)] * (3 - len(axes)) + list(axes)
    return z, y, x
