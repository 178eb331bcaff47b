"""From parts to the map: blended, and upsampled block by block without a trace of the blocks."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camfast import ops
from camfast.errors import InputError
from camfast.ops.bands import REACH
from camfast.scan.tasks.parts import Parts, touching
from camfast.scan.windows.bricks import Brick, Slices
from camfast.scan.windows.lattice import Lattice
from camfast.scan.windows.plan import Blend
from camfast.upsample import Upsampling


def blended(parts: Parts, bricks: list[Brick], target: int, cells: Slices, blend: Blend) -> Tensor:
    """Blend of all windows on some cells of the volume, float64 (z, y, x); 0 where no window was.

    Parts are added in the order of their bricks, so the result depends on nothing else.
    """
    shape = [axis.stop - axis.start for axis in cells]
    total = torch.full(shape, -torch.inf if blend == "max" else 0.0, dtype=torch.float64)
    weight = torch.zeros(shape, dtype=torch.float64)
    for brick, own, into in touching(bricks, cells):
        found = parts.cut(brick.number, target, own)
        if found is not None:
            if blend == "max":
                torch.maximum(total[into], found[0], out=total[into])
            else:
                total[into] += found[0]
            weight[into] += found[1]
    covered = weight > 0
    divisor = torch.where(covered, weight, 1.0) if blend in ("center", "mean") else torch.ones(())
    return torch.where(covered, total / divisor, 0.0)


class Upsampler:
    """Upsamples a lattice's grid piece by piece, as if it were upsampled at once.

    Parameters
    ----------
    lattice
        Where the cells lie.
    upsampling
        From the grid to voxels.
    device
        Where it is done.
    backend
        The kernels.
    """

    def __init__(self, lattice: Lattice, upsampling: Upsampling, device: torch.device, backend: str | None) -> None:
        self.lattice, self.upsampling, self.device, self.backend = lattice, upsampling, device, backend
        sigma = upsampling.sigma
        self.sigma = None if sigma is None else list(np.broadcast_to(np.asarray(sigma, np.float64), 3))
        self.centres = (
            [(g + (c - 1) / 2, float(c)) for g, c in zip(lattice.gap, lattice.cell, strict=True)]
            if upsampling.centres is None
            else [(float(a), float(b)) for a, b in upsampling.centres]
        )

    def cells(self, voxels: Slices) -> Slices:
        """The cells that some voxels are made of."""
        found = []
        for axis, span in enumerate(voxels):
            start, step = self.centres[axis]
            reach = step if self.sigma is None else max(REACH * float(self.sigma[axis]), step) + step
            size = self.lattice.shape[axis]
            first = min(max(math.floor((span.start - reach - start) / step), 0), size - 1)
            last = max(min(math.ceil((span.stop - 1 + reach - start) / step), size - 1), 0)
            found.append(slice(first, last + 1))
        z, y, x = found
        return z, y, x

    def upsample(self, grid: Tensor, cells: Slices, voxels: Slices) -> NDArray[np.float32]:
        """Upsample the values of these cells to these voxels, float32 (z, y, x).

        Raises
        ------
        InputError
            If the result is too large for float32.
        """
        coarse = grid.to(self.device, torch.float32)
        fine = (self._linear if self.sigma is None else self._gaussian)(coarse, cells, voxels)
        if not bool(fine.isfinite().all()):
            raise InputError(
                "the windows' maps are finite, but their blend is too large for float32; "
                "choose the blend center or mean, or another method"
            )
        return fine.cpu().numpy()

    def _linear(self, coarse: Tensor, cells: Slices, voxels: Slices) -> Tensor:
        lattice = self.lattice
        # a border cell is repeated where the cells do not reach the volume's end, as interpolation goes on with it
        wanted = [
            (
                min(c.start, math.floor((v.start - g) / size)),
                max(c.stop, math.ceil((v.stop - g) / size)),
            )
            for c, v, g, size in zip(cells, voxels, lattice.gap, lattice.cell, strict=True)
        ]
        for axis, (begin, end) in enumerate(wanted):
            index = torch.arange(begin, end, device=coarse.device).clamp(cells[axis].start, cells[axis].stop - 1)
            coarse = coarse.index_select(axis, index - cells[axis].start)
        size = [(end - begin) * c for (begin, end), c in zip(wanted, lattice.cell, strict=True)]
        fine = self.upsampling.apply(coarse[None].contiguous(), size, backend=self.backend)[0]
        offsets = [g + b * c for (b, _), g, c in zip(wanted, lattice.gap, lattice.cell, strict=True)]
        inside = tuple(slice(v.start - o, v.stop - o) for v, o in zip(voxels, offsets, strict=True))
        return fine[inside].contiguous()

    def _gaussian(self, coarse: Tensor, cells: Slices, voxels: Slices) -> Tensor:
        assert self.sigma is not None
        gain = self.upsampling.gain
        if gain == "mass":  # a cell's mass is that over the whole volume, not over a block
            for axis in range(3):
                shape = [1, 1, 1]
                shape[axis] = -1
                coarse = coarse / self._mass(axis, cells[axis]).to(coarse).reshape(shape)
            gain = "spray"
        centres = [
            (start + c.start * step - v.start, step)
            for (start, step), c, v in zip(self.centres, cells, voxels, strict=True)
        ]
        size = [v.stop - v.start for v in voxels]
        return ops.gaussian_upsample(
            coarse[None].contiguous(), size, self.sigma, gain=gain, centres=centres, backend=self.backend
        )[0]

    def _mass(self, axis: int, cells: slice) -> Tensor:
        """Sum of each cell's Gaussian over the voxels of the padded volume."""
        start, step = self.centres[axis]
        assert self.sigma is not None
        centre = start + torch.arange(cells.start, cells.stop, dtype=torch.float64)[:, None] * step
        voxel = torch.arange(self.lattice.plan.padded[axis], dtype=torch.float64)
        return torch.exp(-0.5 * ((voxel - centre) / float(self.sigma[axis])) ** 2).sum(1)


def whole(shape: Sequence[int]) -> Slices:
    """All of a grid."""
    z, y, x = (slice(0, n) for n in shape)
    return z, y, x
