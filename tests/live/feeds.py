"""Sources that do what a test says, and sinks that keep what they get."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from camfast.live.frames import Frame, SourceEndedError
from camfast.live.shown import Shown

Step = NDArray[np.generic] | Frame | Exception | None
DEADLINE = 20.0


class Feed:
    """Gives frames, raises exceptions, or gives nothing (None), one step a read; then ends or stays silent."""

    name = "feed:"

    def __init__(self, steps: Iterable[Step], *, ends: bool = True, volume: bool = False) -> None:
        self._steps, self._ends, self._volume = iter(steps), ends, volume
        self._number = 0
        self.opened = self.closed = 0

    def open(self) -> None:
        self.opened += 1

    def read(self, timeout: float) -> Frame | None:
        try:
            step = next(self._steps)
        except StopIteration:
            if self._ends:
                raise SourceEndedError("the feed is at its end") from None
            time.sleep(min(timeout, 0.01))
            return None
        if isinstance(step, Exception):
            raise step
        if step is None or isinstance(step, Frame):
            return step
        self._number += 1
        return Frame(step, self._number - 1, time.perf_counter(), volume=self._volume)

    def close(self) -> None:
        self.closed += 1


class Kept:
    """A sink that keeps numbers, classes and settings."""

    name = "kept:"

    def __init__(self, wait: Callable[[], object] = lambda: None) -> None:
        self.numbers: list[int] = []
        self.shown: list[Shown] = []
        self.closed = 0
        self._wait = wait

    def put(self, shown: Shown) -> None:
        self._wait()
        self.numbers.append(shown.frame.number)
        self.shown.append(shown)

    def close(self) -> None:
        self.closed += 1


def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition; an AssertionError after the deadline."""
    limit = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < limit, f"not within {DEADLINE:.0f} s: {what or condition}"
        time.sleep(0.005)


def paced(count: int, taken: Callable[[], int], make: Callable[[int], NDArray[np.generic]]) -> Iterable[Step]:
    """Frames one by one, each when the one before was taken: none is dropped."""
    for number in range(count):
        limit = time.monotonic() + DEADLINE
        while taken() < number and time.monotonic() < limit:
            yield None
            time.sleep(0.001)
        yield make(number)


def endless(frame: NDArray[np.generic]) -> Iterator[Step]:
    """The same frame, a thousand times a second at most."""
    while True:
        yield frame
        time.sleep(0.001)


def threads() -> set[str]:
    """Names of the live threads of camfast."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("camfast")}
