"""Where the cells of windows' grids lie in a volume: one lattice for all windows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from camfast.errors import InputError
from camfast.scan.windows.plan import AXES, Plan, Shape

Centres = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Lattice:
    """The cells of all windows on one coarse grid of the padded volume; every triple is ordered (z, y, x).

    Parameters
    ----------
    plan
        Where the windows lie.
    cell
        Voxels a cell, c.
    window
        Cells of a window's grid, h.
    gap
        Voxels of a window in front of its first cell: 0 where cells tile the window, more where convolutions are
        valid. Cell i covers the voxels gap + i·c … gap + (i + 1)·c − 1.
    """

    plan: Plan
    cell: Shape
    window: Shape
    gap: Shape

    @property
    def shape(self) -> Shape:
        """Cells of the padded volume."""
        steps = zip(self.plan.counts, self.plan.stride, self.cell, self.window, strict=True)
        z, y, x = ((n - 1) * s // c + h for n, s, c, h in steps)
        return z, y, x

    def first_cell(self, origin: Sequence[int]) -> Shape:
        """First cell of the window at an origin in voxels, a multiple of the stride."""
        z, y, x = (o // c for o, c in zip(origin, self.cell, strict=True))
        return z, y, x


def lattice_of(plan: Plan, grid: Sequence[int], centres: Centres | None = None) -> Lattice:
    """Find the lattice, given the shape of a window's grid and, where they are known, the centres of its cells.

    Parameters
    ----------
    plan
        Where the windows lie.
    grid
        Cells of a window, (z, y, x).
    centres
        What `camfast.receptive_field_centres` says of a window: (start, step) in voxels for each axis. None where the
        cells cannot be followed: they then have to tile the window.

    Raises
    ------
    InputError
        If cells have no whole number of voxels, or the stride is no multiple of it: the grids of neighbouring windows
        would then not lie on one common lattice.
    """
    if len(grid) != 3:
        raise InputError(f"the layer's map has {len(grid)} spatial axes, expected 3; explain a layer of a 3-D network")
    known: Sequence[tuple[float, float] | None] = centres or [None] * 3
    steps = [_cell(*one) for one in zip(AXES, plan.window, grid, known, strict=True)]  # cell and gap of each axis
    for axis, w, s, (size, _) in zip(AXES, plan.window, plan.stride, steps, strict=True):
        if s % size:
            nearest = " or ".join(str(n) for n in sorted({max(s // size, 1) * size, min(-(-s // size) * size, w)}))
            raise InputError(
                f"the stride of {s} voxels along {axis} is no multiple of the layer's cell of {size} voxels; "
                f"choose {nearest}"
            )
    cell, gap = zip(*steps, strict=True)
    z, y, x = grid
    return Lattice(plan, cell, (z, y, x), gap)


def _cell(axis: str, w: int, h: int, centre: tuple[float, float] | None) -> tuple[int, int]:
    """Voxels a cell, and those in front of the first one, along one axis."""
    start, step = centre or (None, w / h)
    if step * h == w:
        if step != int(step):
            raise InputError(
                f"the layer has {h} cells along {axis} for a window of {w} voxels, no whole number of voxels a cell; "
                "choose a window that the network's pooling divides evenly, or another layer"
            )
        return int(step), 0
    gap = start - (step - 1) / 2 if start is not None else math.nan
    if step != int(step) or gap != int(gap) or gap < 0 or gap + h * step > w:
        raise InputError(
            f"the layer has {h} cells along {axis} for a window of {w} voxels, {step:g} voxels apart and the first "
            f"centred at voxel {start:g}, so they do not tile the window or its inner part; choose a window that the "
            "network's pooling divides evenly, or another layer"
        )
    return int(step), int(gap)
