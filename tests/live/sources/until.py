"""Waiting for what has to come, with a deadline."""

import time
from collections.abc import Callable
from pathlib import Path

from camfast.live.frames import Frame, Source

DEADLINE = 5.0  # seconds; a machine that is busy with other things takes its time


def next_frame(source: Source) -> Frame:
    """Read until there is a frame."""
    end = time.perf_counter() + DEADLINE
    while time.perf_counter() < end:
        frame = source.read(0.2)
        if frame is not None:
            return frame
    raise TimeoutError(f"{source.name} gave no frame within {DEADLINE} s")


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.perf_counter() + DEADLINE
    while not condition():
        if time.perf_counter() > end:
            raise TimeoutError(f"not so within {DEADLINE} s")
        time.sleep(0.005)


def thread_count() -> int:
    """Threads of this process, those of libraries too."""
    return len(list(Path("/proc/self/task").iterdir()))
