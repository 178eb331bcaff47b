"""Doing a job's tasks: on this machine, or on the workers of a cluster."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from camfast._interrupt import check_interrupted
from camfast.progress import Bar
from camfast.scan.progress import Progress
from camfast.scan.tasks.job import Job, block_task

Advance = Callable[[int], None]


class Runner(Protocol):
    """What does tasks; each is done once, and the order is the runner's."""

    def bricks(self, job: Job, numbers: list[int], advance: Advance) -> None:
        """Compute bricks and keep their parts; ``advance`` is told how many windows are done."""

    def tasks(self, function: Callable[..., Any], job: Any, items: Iterable[Any], advance: Advance) -> None:
        """Call ``function(job, item)`` for each item; ``advance`` is told of each that is done."""


class Local:
    """The process itself: while a brick is computed, the next one is read and the last one is kept.

    Parameters
    ----------
    check
        Called before something is kept; it raises where the place for that isn't this scan's any more.
    """

    def __init__(self, check: Callable[[], None] | None = None) -> None:
        self._check_place = check

    def _check(self) -> None:
        check_interrupted()
        if self._check_place is not None:
            self._check_place()

    def bricks(self, job: Job, numbers: list[int], advance: Advance) -> None:
        """Compute bricks one after the other."""
        with ThreadPoolExecutor(1, "camfast-read") as reader, ThreadPoolExecutor(1, "camfast-keep") as keeper:
            kept: Future[None] | None = None
            for number, values in _read_ahead(job, numbers, reader):
                part = job.compute(number, values, advance)
                if kept is not None:
                    kept.result()
                self._check()
                kept = keeper.submit(job.parts.save, number, part)
            if kept is not None:
                kept.result()

    def tasks(self, function: Callable[..., Any], job: Any, items: Iterable[Any], advance: Advance) -> None:
        """Call the function for one item after the other."""
        for item in items:
            self._check()
            function(job, item)
            advance(1)


def _read_ahead(job: Job, numbers: list[int], reader: ThreadPoolExecutor) -> Iterator[tuple[int, Tensor]]:
    ahead: Future[Tensor] | None = None
    try:
        for place, number in enumerate(numbers):
            values = (ahead or reader.submit(job.read, number)).result()
            ahead = reader.submit(job.read, numbers[place + 1]) if place + 1 < len(numbers) else None
            yield number, values
    finally:
        if ahead is not None:
            ahead.cancel()


def run(job: Job, runner: Runner, *, progress: bool) -> None:
    """Do what is left of a job: bricks that have no part, then blocks that are not written; with bars or without."""
    done = {brick.number for brick in job.bricks if brick.number in job.parts}
    with Progress(job.upsampler.lattice.plan.shape, job.windows, shown=progress) as bar:
        bar.windows(sum(job.windows_of(number) for number in done))
        runner.bricks(job, [brick.number for brick in job.bricks if brick.number not in done], bar.windows)
    left = [block.number for block in job.blocks if not job.is_written(block.number)]
    with Bar(len(job.blocks), "write", shown=progress and len(job.blocks) > 1, unit="block") as blocks:
        blocks.update(len(job.blocks) - len(left))
        runner.tasks(block_task, job, left, blocks.update)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within the block torch computes with so many threads, which the last bits of its results depend on."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
