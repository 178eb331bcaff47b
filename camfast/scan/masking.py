"""Which windows a mask leaves, read box by box."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.scan.files import read_volume
from camfast.scan.volumes import Volume, check_finite, walk
from camfast.scan.windows.plan import Plan


def chosen_windows(mask: Any, volume: Volume, plan: Plan) -> NDArray[np.bool_]:
    """Find the windows whose central region touches voxels of a mask that are not 0: bools of ``plan.counts``.

    Parameters
    ----------
    mask
        Volume, array or path, (z, y, x).
    volume
        What is scanned.
    plan
        Its windows.

    Raises
    ------
    InputError
        If its shape is not that of the volume, it holds NaN or infinite values, or it is 0 everywhere.
    """
    found = read_volume(mask)
    if found.shape != volume.shape:
        raise InputError(f"the mask has the shape {found.shape} and {volume.name} {volume.shape}; they must be equal")
    chosen = plan.touching(_marked(found))
    if not chosen.any():
        raise InputError("the mask is 0 everywhere, so there is nothing to scan; mark the region of interest")
    return chosen


def _marked(mask: Volume) -> Iterator[tuple[tuple[slice, slice, slice], NDArray[np.bool_]]]:
    for box in walk(mask.data):
        part = np.asarray(mask.data[box])
        check_finite(mask, part, box)  # a NaN is not 0 and would count as marked
        yield box, part != 0
