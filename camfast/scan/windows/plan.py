"""Which windows cover a volume, and what each of their grid cells weighs: pure functions of shapes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError

Shape = tuple[int, int, int]
Blend = Literal["center", "mean", "sum", "max"]
BLENDS = ("center", "mean", "sum", "max")
AXES = ("z", "y", "x")


@dataclass(frozen=True, slots=True)
class Plan:
    """Windows on a volume; every triple is ordered (z, y, x), in voxels.

    Parameters
    ----------
    shape
        The volume.
    window
        A window.
    stride
        Step between the origins of neighbouring windows.
    counts
        Numbers of windows. Their origins are the multiples of the stride, and the last window is the first one that
        reaches the end of the volume.
    """

    shape: Shape
    window: Shape
    stride: Shape
    counts: Shape

    @property
    def padded(self) -> Shape:
        """Shape of the volume with the padding at its far ends: the last window ends where it ends."""
        z, y, x = ((n - 1) * s + w for n, s, w in zip(self.counts, self.stride, self.window, strict=True))
        return z, y, x

    @property
    def windows(self) -> int:
        """Number of windows."""
        return int(np.prod(self.counts))

    def touching(self, marked: Iterable[tuple[Sequence[slice], NDArray[np.bool_]]]) -> NDArray[np.bool_]:
        """Windows whose central region, one stride wide, touches a mask that comes in boxes: bools of ``counts``.

        Together the central regions tile the volume: those of the outermost windows reach to its border.

        Parameters
        ----------
        marked
            Boxes of the volume, in voxels, with what is marked of each.
        """
        found = np.zeros(self.counts, np.bool_)
        for box, part in marked:
            place = []
            for axis, span in enumerate(box):
                first = self._first_of_centres(axis)
                begin, end = np.searchsorted(first, [span.start, span.stop - 1], "right") - 1
                edges = np.maximum(first[begin : end + 1], span.start) - span.start
                part = np.logical_or.reduceat(part, edges, axis=axis)
                place.append(slice(int(begin), int(end) + 1))
            found[tuple(place)] |= part
        return found

    def _first_of_centres(self, axis: int) -> NDArray[np.int64]:
        """First voxel of each window's central region along an axis."""
        first = np.arange(self.counts[axis]) * self.stride[axis] + (self.window[axis] - self.stride[axis]) // 2
        first[0] = 0
        return first


def triple(value: int | Sequence[int], name: str) -> Shape:
    """Take a whole number, or one for each of z, y, x, as three positive numbers.

    Raises
    ------
    InputError
        If it is neither; the message calls it ``name``.
    """
    numbers = list(value) if np.iterable(value) else [value] * 3
    if len(numbers) != 3 or not all(isinstance(n, int | np.integer) and n > 0 for n in numbers):
        raise InputError(f"{name} is {value!r}, expected a positive whole number, or three of them for z, y, x")
    z, y, x = (int(number) for number in numbers)
    return z, y, x


def plan_windows(shape: Sequence[int], window: int | Sequence[int], stride: int | Sequence[int]) -> Plan:
    """Place windows at the multiples of the stride so that every voxel lies in one.

    Along an axis of length D with windows of length w every s voxels there are ⌈(D − w)/s⌉ + 1 windows.

    Raises
    ------
    InputError
        If a window is longer than the volume, or a stride longer than the window, which would leave gaps.
    """
    volume, window, stride = triple(shape, "shape"), triple(window, "window"), triple(stride, "stride")
    for axis, length, w, s in zip(AXES, volume, window, stride, strict=True):
        if w > length:
            raise InputError(
                f"the window of {w} voxels is larger than the volume with its {length} along {axis} (shape {volume}); "
                "choose a smaller window that the network accepts, or a larger volume"
            )
        if s > w:
            raise InputError(
                f"the stride of {s} voxels along {axis} is larger than the window of {w}, so voxels between windows "
                "would be left out; choose a stride of at most the window"
            )
    z, y, x = (-(-(d - w) // s) + 1 for d, w, s in zip(volume, window, stride, strict=True))
    return Plan(volume, window, stride, (z, y, x))


def blend_weights(grid: Sequence[int], blend: Blend) -> NDArray[np.float64]:
    """Weight of each cell of a window's grid.

    ``"center"``: the product over the axes of sin²(π (i + ½)/h), largest at the window's centre and nowhere 0.
    Others: 1.

    Raises
    ------
    InputError
        If the blend is none of ``center``, ``mean``, ``sum``, ``max``.
    """
    if blend not in BLENDS:
        raise InputError(f"blend is {blend!r}, expected one of {', '.join(BLENDS)}")
    weights = np.ones(tuple(grid))
    if blend == "center":
        for axis, h in enumerate(grid):
            taper = np.sin(np.pi * (np.arange(h) + 0.5) / h) ** 2
            weights *= taper.reshape([-1 if axis == i else 1 for i in range(len(grid))])
    return weights
