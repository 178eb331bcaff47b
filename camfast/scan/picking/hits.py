"""How well a map finds particles whose positions are known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError


def hits(
    cam: Any, centres: Sequence[Sequence[float]] | NDArray[Any], *, fraction: float = 0.05, radius: float = 2.0
) -> NDArray[np.bool_]:
    """Tell for each position whether the map is among its volume's top values close by.

    A position is hit if a voxel within ``radius`` of it has a value above the (1 − ``fraction``) quantile of the
    whole map. With ties at that quantile the voxels above are fewer than ``fraction``, never more.

    Parameters
    ----------
    cam
        Map (z, y, x).
    centres
        Positions (P, 3), (z, y, x) in voxels.
    fraction
        Share of the volume that counts as top.
    radius
        In voxels.

    Returns
    -------
    ndarray
        bool (P,).

    Raises
    ------
    InputError
        If a position lies outside the map.
    """
    values = np.asarray(cam)
    threshold = np.quantile(values, 1 - fraction)
    positions = np.asarray(centres, dtype=np.float64).reshape(-1, 3)
    found = np.zeros(len(positions), dtype=np.bool_)
    for number, position in enumerate(positions):
        if not all(-0.5 <= p <= d - 0.5 for p, d in zip(position, values.shape, strict=True)):
            raise InputError(f"position {tuple(position)} lies outside the map of shape {values.shape}")
        first = np.maximum(np.ceil(position - radius), 0).astype(int)
        last = np.minimum(np.floor(position + radius), np.array(values.shape) - 1).astype(int)
        axes = [np.arange(a, b + 1) for a, b in zip(first, last, strict=True)]
        distance = sum(np.square(grid - p) for grid, p in zip(np.meshgrid(*axes, indexing="ij"), position, strict=True))
        near = values[np.ix_(*axes)][distance <= radius**2]
        found[number] = bool((near > threshold).any())
    return found
