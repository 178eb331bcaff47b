"""A volume's values as a network wants them: normalised, and reflected beyond the far ends."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.scan.volumes import Volume, statistics

Normalize = Literal["volume", "window"] | None


class Density:
    """A volume read piece by piece; its values are checked once, at the start.

    Parameters
    ----------
    volume
        What is read.
    normalize
        ``"volume"``: (x − mean) / std of the whole volume, in float64. ``"window"``: of each window, a constant
        window becoming 0. None: values as they are.
    invert
        Change the sign, for networks trained on the other contrast.

    Raises
    ------
    InputError
        If the volume holds NaN or infinite values, or is constant and to be normalised.
    """

    def __init__(self, volume: Volume, normalize: Normalize, *, invert: bool = False) -> None:
        if normalize not in ("volume", "window", None):
            raise InputError(f"normalize is {normalize!r}, expected 'volume', 'window' or None")
        self.volume, self.normalize = volume, normalize
        self.sign = -1.0 if invert else 1.0
        mean, std = statistics(volume)
        if std == 0 and normalize is not None:
            raise InputError(f"{volume.name}: every voxel is {mean:g}, so there is nothing to see; check the file")
        self.mean, self.std = (mean, std) if normalize == "volume" else (0.0, 1.0)

    def piece(self, origin: Sequence[int], shape: Sequence[int]) -> NDArray[Any]:
        """Read the piece of a shape at a voxel, in front of the volume's end and reflected behind it.

        float32, normalised; as it is in the file where each window is normalised by itself.
        """
        index = [
            _reflected(first, length, size)
            for first, length, size in zip(origin, shape, self.volume.shape, strict=True)
        ]
        begin = [int(axis.min()) for axis in index]
        read = self.volume.data[tuple(slice(b, int(axis.max()) + 1) for b, axis in zip(begin, index, strict=True))]
        if any(first + n > size for first, n, size in zip(origin, shape, self.volume.shape, strict=True)):
            read = np.asarray(read)[np.ix_(*(axis - b for axis, b in zip(index, begin, strict=True)))]
        return np.asarray(read) if self.normalize == "window" else self._whitened(np.asarray(read))

    def _whitened(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """(x − mean) · sign / std in float64, plane by plane."""
        result = np.empty(values.shape, np.float32)
        factor = self.sign / self.std
        for plane, into in zip(values, result, strict=True):
            wide = plane.astype(np.float64)
            wide -= self.mean
            wide *= factor
            into[...] = wide
        return result

    def window(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Bring one window of a piece to what the network gets, where windows are normalised by themselves."""
        wide = values.astype(np.float64)
        wide -= wide.mean()
        wide *= self.sign / (wide.std() or 1.0)
        return wide.astype(np.float32)


def _reflected(first: int, length: int, size: int) -> NDArray[np.int64]:
    """Indices of an axis, those behind its end reflected at the last voxel."""
    index = np.arange(first, first + length)
    return np.where(index < size, index, 2 * (size - 1) - index)
