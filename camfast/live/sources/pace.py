"""When frames are due: a camera doesn't wait for who reads."""

import time

from camfast.errors import InputError

FASTEST = 1000.0


class Pace:
    """Moments that are 1 / fps apart, from now on; the time that frames take makes none of them later.

    Parameters
    ----------
    fps
        Frames a second.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._start = time.perf_counter()

    def newest(self) -> int:
        """Return the last of the moments that are over; the first is 0."""
        return int((time.perf_counter() - self._start) * self._fps)

    def wait(self, index: int, timeout: float) -> bool:
        """Wait until one of the moments, at most so many seconds; whether it has come."""
        return wait_until(self._start + index / self._fps, timeout)


def wait_until(moment: float, timeout: float) -> bool:
    """Wait until a time of ``time.perf_counter()``, at most so many seconds; whether it has come."""
    left = moment - time.perf_counter()
    if left > 0:
        time.sleep(max(0.0, min(left, timeout)))
    return left <= timeout


def check_rate(fps: float, what: str) -> float:
    """Return frames a second, if they are more than 0 and at most 1000; else an InputError."""
    if not 0 < fps <= FASTEST:
        raise InputError(f"{what}: frames a second must be more than 0 and at most {FASTEST:g}, found {fps:g}")
    return float(fps)
