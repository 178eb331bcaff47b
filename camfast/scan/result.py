"""What a scan gives."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from camfast.scan.picking.picks import Picks
from camfast.scan.windows.difference import Difference


@dataclass(frozen=True, eq=False, slots=True)
class ScanResult:
    """What a scan gives.

    Parameters
    ----------
    cam
        float32 (z, y, x), or (T, z, y, x) for several targets: a tensor, or, when it was written to a file, something
        to be sliced that reads only what is asked for.
    scores
        The network's output for every window, float32 (nz, ny, nx, C) on the grid of strides; NaN where the mask left
        a window out.
    path
        The file, None when none was asked for.
    picks
        The strongest places, where they were asked for.
    difference
        How far maps of the trunk ``shared`` are from those of ``exact``, measured on a sample of windows.
    residual
        Mean |y − ΣL| over the explained windows and targets, divided by the mean |y|: 0 for maps that sum to the
        score.
    """

    cam: Any
    scores: Tensor
    path: Path | None
    picks: Picks | None = None
    difference: Difference | None = None
    residual: float | None = None
