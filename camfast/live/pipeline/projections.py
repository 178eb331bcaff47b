"""A volume as one picture: its three projections side by side."""

from collections.abc import Iterator

from torch import Tensor


def canvas_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of the picture of a volume (D, H, W): (H + D, W + D).

    Examples
    --------
    >>> canvas_size((10, 40, 50))
    (50, 60)
    """
    depth, height, width = shape
    return height + depth, width + depth


def projections(volume: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Project a volume (D, H, W) by its maxima along z, x and y: (H, W), (H, D) and (D, W).

    NaN anywhere along a ray is NaN.
    """
    return volume.amax(0), volume.amax(2).T.contiguous(), volume.amax(1)


def places(canvas: Tensor, shape: tuple[int, ...]) -> Iterator[Tensor]:
    """Yield where the projections of a volume (D, H, W) stand in its picture (H + D, W + D, ...).

    Along z top left, along x on its right with z to the right, along y below with z downwards: edges that touch have
    the same coordinate. The corner stays empty.
    """
    depth, height, width = shape
    yield canvas[:height, :width]
    yield canvas[:height, width : width + depth]
    yield canvas[height : height + depth, :width]
