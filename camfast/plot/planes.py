"""From a volume to a picture: one slice of it, or all of it seen along an axis."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.plot.image import as_array

Plane = int | Literal["max"] | None
HORIZONTAL = (2, 2, 0)
"""The axis of the volume that runs to the right in the panel that looks along z, y and x."""


def plane_of(volume: Any, axis: int, index: int) -> Any:
    """One slice with the axes that its panel shows: (y, x), (z, x) and (y, z)."""
    place = [slice(None), slice(None), slice(None)]
    chosen: tuple[Any, ...] = (*place[:axis], index, *place[axis + 1 :])
    return volume[chosen] if axis < 2 else volume[chosen].T


def check_plane(plane: Plane, axis: int, shape: tuple[int, ...]) -> None:
    """Refuse a plane that a volume (z, y, x) of this shape doesn't have.

    Raises
    ------
    InputError
        If the axis or the index is out of range.
    """
    if axis not in (0, 1, 2):
        raise InputError(f"axis is {axis!r}, expected 0, 1 or 2 for z, y or x")
    fits = isinstance(plane, int | np.integer) and not isinstance(plane, bool) and 0 <= plane < shape[axis]
    if plane is not None and plane != "max" and not fits:
        raise InputError(
            f"plane is {plane!r}, expected None, 'max' or a slice from 0 to {shape[axis] - 1} along {'zyx'[axis]}"
        )


def seen_along(volume: Any, plane: Plane, axis: int, *, is_map: bool) -> NDArray[Any]:
    """The picture of a volume (z, y, x): a slice, None for the middle one, or ``"max"`` for all of it.

    Of a map the value of largest absolute along the axis, with its sign; of a density the mean, which keeps dark and
    bright particles alike.
    """
    if plane != "max":
        return as_array(plane_of(volume, axis, volume.shape[axis] // 2 if plane is None else plane))
    values = as_array(volume)
    if is_map:
        places = np.expand_dims(np.abs(values).argmax(axis), axis)
        seen = np.take_along_axis(values, places, axis).squeeze(axis)
    else:
        seen = values.mean(axis, dtype=np.float64).astype(np.float32)
    return seen if axis < 2 else seen.T
