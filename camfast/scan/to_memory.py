"""A scan whose result stays in memory."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.scan.formats.statistics import Statistics
from camfast.scan.formats.writer import Step
from camfast.scan.preparing import Asked, planned, prepared
from camfast.scan.result import ScanResult
from camfast.scan.summary import difference, residual, scores_of, warn_of_ill_conditioned
from camfast.scan.tasks.job import Block, Job
from camfast.scan.tasks.parts import MemoryParts
from camfast.scan.tasks.running import Local, run
from camfast.scan.windows.bricks import Slices, blocks_of
from camfast.scan.windows.plan import Shape

_BLOCK = 256


class _ArrayWriter:
    """Maps in memory.

    Parameters
    ----------
    shape
        Of the volume.
    channels
        How many maps; None: one, without an axis of channels.
    """

    def __init__(self, shape: Shape, channels: int | None) -> None:
        self.block: Shape = (_BLOCK, _BLOCK, _BLOCK)
        self.channels = channels
        self.data = torch.empty((*(() if channels is None else (channels,)), *shape))

    def create(self) -> None:
        """Nothing is left to be made."""

    def is_made(self) -> bool:
        """Memory is always there."""
        return True

    def lacks(self, level: int, channel: int | None, block: Slices) -> bool:  # noqa: ARG002 - there are no files
        """No block is lost."""
        return False

    def write(self, voxels: Slices, values: NDArray[Any], channel: int | None = None) -> Statistics:
        """Put one block into its place."""
        into = self.data if channel is None else self.data[channel]
        into[voxels] = torch.from_numpy(np.ascontiguousarray(values))
        return Statistics.of(values)

    def coarser(self) -> list[list[Step]]:
        """Nothing: there are no coarser levels."""
        return []

    def coarsen(self, level: int, channel: int | None, block: Slices) -> None:
        """Never called."""

    def finish(self, statistics: Sequence[Statistics], attributes: Mapping[str, Any] | None = None) -> None:
        """Nothing is left to be written."""


def to_memory(asked: Asked, client: Any, *, progress: bool) -> ScanResult:
    """Scan, and return the map as a tensor.

    Raises
    ------
    InputError
        As `camfast.scan`; also if workers or side outputs are asked for, which need a file.
    """
    if client is not None:
        raise InputError("workers of a cluster write the map into a file: give out= a name on a disk they share")
    if asked.also:
        raise InputError(f"also={list(asked.also)} writes beside the map: give out= a name")
    plan = planned(asked)
    ready = prepared(plan, {})
    writer = _ArrayWriter(plan.plan.shape, plan.targets)
    pieces = blocks_of(plan.plan.shape, writer.block)
    blocks = [Block(t * len(pieces) + i, t, piece) for t in range(plan.targets or 1) for i, piece in enumerate(pieces)]
    job = Job(
        ready.trunk, ready.bricks, blocks, plan.chosen, ready.sizes.batch, plan.blend, plan.upsampler, writer,
        MemoryParts(), None, torch.get_num_threads(), None, plan.watched,
    )  # fmt: skip
    run(job, Local(), progress=progress)
    if plan.watched is not None:
        plan.watched.check()
    facts = [job.parts.facts(brick.number) for brick in job.bricks]
    warn_of_ill_conditioned(facts, asked.explainer.layer)
    return ScanResult(
        writer.data, scores_of(job, plan.plan.counts), None, difference=difference(job, facts), residual=residual(facts)
    )
