"""Volumes that stay where they are: only the part that is sliced is read."""

import operator
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]


class LazyArray(ABC):
    """Real numbers (z, y, x) that are read when they are sliced, and only those of the slice.

    Takes what an array takes of slices without steps, whole numbers and ``...``, and gives an array of its own.
    It may be read by several threads at once, and pickled.

    Parameters
    ----------
    shape
        Numbers of voxels along (z, y, x).
    dtype
        Type of the values, of this machine's byte order.
    chunks
        Shape of the smallest part that can be had without reading more than it: a row, or a chunk of a store.
    """

    ndim = 3

    def __init__(self, shape: Shape, dtype: Any, chunks: Shape) -> None:
        self.shape, self.dtype, self.chunks = shape, np.dtype(dtype).newbyteorder("="), chunks

    @abstractmethod
    def read(self, box: Box) -> NDArray[Any]:
        """Read a box, not empty: slices whose start and stop lie within the shape."""

    def __getitem__(self, key: Any) -> Any:
        box, rest = box_of(key, self.shape)
        lengths = tuple(span.stop - span.start for span in box)
        return (self.read(box) if 0 not in lengths else np.empty(lengths, self.dtype))[rest]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the volume lies in a file, so an array of it is always a copy")
        values: NDArray[Any] = self[...]
        return values if dtype is None else values.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"


def box_of(key: Any, shape: Shape) -> tuple[Box, tuple[int | slice, ...]]:
    """Return the box that an index asks for, and the index that turns the box's values into what was asked for.

    Raises
    ------
    IndexError
        If the index has a step, too many entries, or lies outside the shape.

    Examples
    --------
    >>> box_of((slice(2, 99), -1), (5, 6, 7))
    ((slice(2, 5, None), slice(5, 6, None), slice(0, 7, None)), (slice(None, None, None), 0, slice(None, None, None)))
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    gaps = [place for place, one in enumerate(keys) if one is Ellipsis]
    gap = gaps[0] if gaps else len(keys)
    given = len(keys) - len(gaps)
    if len(gaps) > 1 or given > len(shape):
        raise IndexError(f"{len(keys)} indices for a volume (z, y, x)")
    keys[gap : gap + 1] = [slice(None)] * (len(shape) - given)
    spans: list[slice] = []
    rest: list[int | slice] = []
    for one, length in zip(keys, shape, strict=True):
        if isinstance(one, slice):
            start, stop, step = one.indices(length)
            if step != 1:
                raise IndexError(f"a step of {step}: read the whole range and take the step from that")
            spans.append(slice(start, max(start, stop)))
            rest.append(slice(None))
        else:
            place = operator.index(one)
            if not -length <= place < length:
                raise IndexError(f"index {place} is out of bounds for an axis of {length} voxels")
            spans.append(slice(place % length, place % length + 1))
            rest.append(0)
    return (spans[0], spans[1], spans[2]), tuple(rest)
