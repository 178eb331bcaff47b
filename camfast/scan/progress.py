"""How far a scan is, for the person who waits."""

import sys
from types import TracebackType

from camfast._extras import require


class Progress:
    """A bar on standard error that counts the volume's voxels while windows are done.

    Parameters
    ----------
    voxels
        Of the whole volume.
    windows
        How many there are to do.
    shown
        Whether there is a bar at all.
    """

    def __init__(self, voxels: int, windows: int, *, shown: bool) -> None:
        self.voxels, self.total, self.done = voxels, windows, 0
        self.bar = None
        if shown:
            tqdm = require("tqdm", "scan", "a progress bar")
            # In a log file a bar that moves every tenth of a second is a flood.
            interval = 0.1 if sys.stderr.isatty() else 10.0
            self.bar = tqdm.tqdm(
                total=voxels, unit="voxel", unit_scale=True, desc="scan", dynamic_ncols=True, mininterval=interval
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()

    def windows(self, count: int) -> None:
        """Count so many windows as done."""
        self.done += count
        if self.bar is not None:
            self.bar.update(self.voxels * self.done // self.total - self.bar.n)
