"""Reading from a source until something has come, with a deadline."""

import time

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
