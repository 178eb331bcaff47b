"""A scan as tasks that don't depend on each other: bricks of windows first, then blocks of the map."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camfast.scan.formats.writer import Writer
from camfast.scan.picking.peaks import Peaks, halo, peaks
from camfast.scan.tasks.assembly import Upsampler, blended
from camfast.scan.tasks.parts import Part, Parts, Source, compute, write_whole
from camfast.scan.unchanged import Unchanged
from camfast.scan.windows.bricks import Brick, Slices, grown, planes_of, relative
from camfast.scan.windows.plan import Blend

_PLANES = 64


@dataclass(frozen=True, eq=False)
class Block:
    """One block of one target's map.

    Parameters
    ----------
    number
        Its place among the blocks.
    target
        Number of the map, 0 where there is one.
    voxels
        Where it lies.
    """

    number: int
    target: int
    voxels: Slices


@dataclass(frozen=True, eq=False)
class Job:
    """Everything that a worker has to know.

    Parameters
    ----------
    source
        Where explained windows come from.
    bricks, blocks
        What there is to do.
    chosen
        Windows that the mask leaves, bool (nz, ny, nx); None: all.
    batch
        Windows a pass.
    blend
        How maps that overlap are added up.
    upsampler
        From the blended grid to voxels.
    writer
        The output.
    parts
        Where the parts of bricks are kept.
    markers
        Folder with a file for each block that was written; None where blocks are not counted.
    threads
        Threads of an operation of torch, which results depend on.
    pick_distance
        Distance of peaks that are looked for, in voxels; None: none are.
    watched
        The file of the volume, which has to stay as it is.
    """

    source: Source
    bricks: list[Brick]
    blocks: list[Block]
    chosen: NDArray[np.bool_] | None
    batch: int
    blend: Blend
    upsampler: Upsampler
    writer: Writer
    parts: Parts
    markers: Path | None
    threads: int
    pick_distance: float | None
    watched: Unchanged | None

    @property
    def windows(self) -> int:
        """How many windows are explained."""
        return sum(len(brick.origins) for brick in self.bricks) if self.chosen is None else int(self.chosen.sum())

    def windows_of(self, number: int) -> int:
        """How many windows of a brick are explained."""
        brick = self.bricks[number]
        return len(brick.origins) if self.chosen is None else int(self.chosen[brick.windows].sum())

    def read(self, number: int) -> Tensor:
        """Read what a brick needs.

        Raises
        ------
        InputError
            If the volume's file was changed meanwhile: no part may be of another version than the others.
        """
        values = self.source.read(self.bricks[number])
        if self.watched is not None:
            self.watched.check(folders=False)
        return values

    def compute(self, number: int, values: Tensor, advance: Callable[[int], None] | None = None) -> Part:
        """Compute a brick's part of what was read; ``advance`` is told how many windows are done each time."""
        return compute(
            self.source, self.bricks[number], values, self.chosen, self.batch, self.blend, advance or _silent
        )

    def write(self, number: int) -> None:
        """Assemble a block, write it, and mark it as done."""
        block = self.blocks[number]
        values, found = self._assembled(block)
        seen = self.writer.write(block.voxels, values, None if self.writer.channels is None else block.target)
        if self.markers is not None:
            noted = {
                "statistics": asdict(seen),
                "positions": [place for one in found for place in one.position.tolist()],
                "values": [value for one in found for value in one.value.tolist()],
                "centres": [place for one in found for place in one.centre.tolist()],
            }
            write_whole(self._marker(number), json.dumps(noted).encode())

    def is_written(self, number: int) -> bool:
        """Whether a block is done, and what was written is still there."""
        if self.markers is None or not self._marker(number).exists():
            return False
        block, found = self.blocks[number], self.written(number)["statistics"]
        channel = None if self.writer.channels is None else block.target
        return found["low"] == found["high"] == 0 or not self.writer.lacks(0, channel, block.voxels)

    def written(self, number: int) -> dict[str, Any]:
        """What was noted of a block: statistics and peaks."""
        found: dict[str, Any] = json.loads(self._marker(number).read_text())
        return found

    def _assembled(self, block: Block) -> tuple[NDArray[np.float32], list[Peaks]]:
        """The map on a block's voxels and its peaks, some planes at a time."""
        around = 0 if self.pick_distance is None else halo(self.pick_distance)
        values = np.empty([axis.stop - axis.start for axis in block.voxels], np.float32)
        found = []
        for inner in planes_of(block.voxels, _PLANES):
            outer = grown(inner, around, self.upsampler.lattice.plan.shape)
            cells = self.upsampler.cells(outer)
            grid = blended(self.parts, self.bricks, block.target, cells, self.blend)
            wide = self.upsampler.upsample(grid, cells, outer)
            own = relative(inner, outer)
            values[relative(inner, block.voxels)] = wide[own]
            if self.pick_distance is not None:
                first = [axis.start for axis in outer]
                found.append(peaks(wide, distance=self.pick_distance, inner=own, first=first))
        return values, found

    def _marker(self, number: int) -> Path:
        assert self.markers is not None
        return self.markers / f"{number:07d}.json"


def block_task(job: Job, number: int) -> int:
    """Write a block of the map: a task for a worker elsewhere."""
    if not job.is_written(number):
        torch.set_num_threads(job.threads)
        job.write(number)
    return number


def _silent(_: int) -> None:
    pass
