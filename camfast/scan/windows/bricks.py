"""A scan in pieces: bricks of windows that are computed together, and blocks of the map that are written together."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from camfast.scan.windows.lattice import Lattice
from camfast.scan.windows.plan import Shape

Slices = tuple[slice, slice, slice]
_MOST_TILES = 32


@dataclass(frozen=True)
class Brick:
    """A block of neighbouring windows; every triple is ordered (z, y, x).

    Parameters
    ----------
    lattice
        The cells of all windows.
    number
        Its place among the bricks, x running fastest.
    first
        Index of its first window on the grid of strides.
    counts
        How many windows it has along each axis.
    """

    lattice: Lattice
    number: int
    first: Shape
    counts: Shape

    @property
    def windows(self) -> Slices:
        """Its windows on the grid of strides."""
        return _slices(self.first, self.counts)

    @property
    def origin(self) -> Shape:
        """Its first voxel."""
        z, y, x = (i * s for i, s in zip(self.first, self.lattice.plan.stride, strict=True))
        return z, y, x

    @property
    def hull(self) -> Shape:
        """Voxels that its windows cover, beyond the volume's end too."""
        plan = self.lattice.plan
        z, y, x = ((n - 1) * s + w for n, s, w in zip(self.counts, plan.stride, plan.window, strict=True))
        return z, y, x

    @cached_property
    def cells(self) -> Slices:
        """The cells of the volume that its windows touch."""
        steps = zip(self.counts, self.lattice.plan.stride, self.lattice.cell, self.lattice.window, strict=True)
        return _slices(self.lattice.first_cell(self.origin), [(n - 1) * s // c + h for n, s, c, h in steps])

    @cached_property
    def origins(self) -> NDArray[np.int64]:
        """First voxel of each window, counted from the brick's own, (windows, 3), x running fastest."""
        index = np.stack(np.meshgrid(*(np.arange(n) for n in self.counts), indexing="ij"), -1).reshape(-1, 3)
        origins: NDArray[np.int64] = index * np.array(self.lattice.plan.stride)
        return origins


def bricks_of(lattice: Lattice, voxels: int) -> list[Brick]:
    """Group a plan's windows into bricks that advance by about so many voxels along each axis.

    The windows of an axis are shared out evenly, so that no brick is a sliver.
    """
    ranges = []
    for count, stride in zip(lattice.plan.counts, lattice.plan.stride, strict=True):
        groups = -(-count * stride // max(voxels, stride))
        edges = [count * i // groups for i in range(groups + 1)]
        ranges.append(list(itertools.pairwise(edges)))
    made = []
    for number, parts in enumerate(itertools.product(*ranges)):
        z, y, x = ((begin, end - begin) for begin, end in parts)
        made.append(Brick(lattice, number, (z[0], y[0], x[0]), (z[1], y[1], x[1])))
    return made


def blocks_of(shape: Sequence[int], block: Sequence[int]) -> list[Slices]:
    """Cut a volume into blocks, x running fastest; the last of an axis may be smaller."""
    ranges = (range(0, length, step) for length, step in zip(shape, block, strict=True))
    corners: Iterator[tuple[int, ...]] = itertools.product(*ranges)
    return [
        _slices(corner, [min(b, n - o) for b, n, o in zip(block, shape, corner, strict=True)]) for corner in corners
    ]


@lru_cache
def tile_of(cells: Shape, halo: Shape, most: int) -> Shape:
    """Find tiles that cut a grid evenly, of at most so many cells with their halo, and cost least together.

    A tile of a single cell is taken where even that has more.
    """
    counts = [range(1, min(n, _MOST_TILES) + 1) for n in cells]
    best, found = math.inf, (1, 1, 1)
    for split in itertools.product(*counts):
        lengths = [-(-n // k) for n, k in zip(cells, split, strict=True)]
        wide = math.prod(n + h for n, h in zip(lengths, halo, strict=True))
        cost = wide * math.prod(split)
        if wide <= most and cost < best:
            best, found = cost, (lengths[0], lengths[1], lengths[2])
    return found


def planes_of(voxels: Slices, count: int) -> list[Slices]:
    """Cut a region along its first axis into slabs of at most so many planes."""
    z, y, x = voxels
    return [(slice(first, min(first + count, z.stop)), y, x) for first in range(z.start, z.stop, count)]


def grown(region: Slices, by: int, shape: Sequence[int]) -> Slices:
    """Take more on all sides, as far as a volume of this shape goes."""
    z, y, x = (slice(max(r.start - by, 0), min(r.stop + by, n)) for r, n in zip(region, shape, strict=True))
    return z, y, x


def relative(region: Slices, to: Slices) -> Slices:
    """Where a region lies in another one."""
    z, y, x = (slice(r.start - t.start, r.stop - t.start) for r, t in zip(region, to, strict=True))
    return z, y, x


def _slices(first: Sequence[int], lengths: Sequence[int]) -> Slices:
    z, y, x = (slice(o, o + n) for o, n in zip(first, lengths, strict=True))
    return z, y, x
