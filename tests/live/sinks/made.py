"""Overlays whose every number can be told from their own."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from camfast.live import Frame, Settings, Shown

SECONDS = 20.0


def make(
    number: int,
    shape: Sequence[int] = (6, 7),
    dtype: str = "uint16",
    *,
    volume: bool = False,
    grid: Sequence[int] = (2, 3),
    classes: int = 4,
    settings: Settings | None = None,
) -> Shown:
    """Make an overlay of a frame with a number."""
    values = np.random.default_rng(number)
    size = shape[1:] if volume else shape[:2]
    return Shown(
        Frame(values.integers(0, 250, shape).astype(dtype), number, time.perf_counter(), f"img{number}.tif", volume),
        values.integers(0, 256, (*size, 3), dtype=np.uint8),
        lambda: np.zeros(size, np.uint8),
        values.random(tuple(grid), np.float32),
        values.random(classes, np.float32),
        number % classes,
        settings or Settings("3"),
        low=float(np.float32(-0.1 * number)),
        high=float(np.float32(1.5 + number)),
        black=10.0 + number / 3,
        white=200.0,
        milliseconds={"forward": 1.0},
    )


def until(reached: Callable[[], bool], what: str) -> None:
    """Wait until something is so, or fail."""
    limit = time.monotonic() + SECONDS
    while not reached():
        assert time.monotonic() < limit, f"not so after {SECONDS:g} s: {what}"
        time.sleep(0.002)
