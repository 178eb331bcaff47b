"""How far a scan is, for the person who waits."""

import math
from collections.abc import Sequence

from camfast.progress import Bar


class Progress(Bar):
    """A bar on standard error that counts the volume's voxels while windows are done.

    Parameters
    ----------
    shape
        Of the whole volume.
    windows
        How many there are to do.
    shown
        Whether there is a bar at all.
    """

    def __init__(self, shape: Sequence[int], windows: int, *, shown: bool) -> None:
        voxels = math.prod(shape)
        super().__init__(voxels, "scan", shown=shown, unit="voxel")
        self.voxels, self.total, self.done = voxels, windows, 0

    def windows(self, count: int) -> None:
        """Count so many windows as done."""
        before = self.voxels * self.done // self.total
        self.done += count
        self.update(self.voxels * self.done // self.total - before)
