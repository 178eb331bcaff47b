"""The newest frame, for whoever is ready to take it: nothing is queued."""

import threading
import time

from camfast.live.frames import Frame


class Latest:
    """A slot for one frame: a newer one takes the place of one that nobody took, which is counted as dropped.

    Attributes
    ----------
    arrived : int
        Frames that were put.
    dropped : int
        Frames whose place was taken, or that were never taken before the end.

    Examples
    --------
    >>> import numpy as np
    >>> slot = Latest()
    >>> for number in range(3):
    ...     slot.put(Frame(np.zeros((1, 1), np.uint8), number, time=0.0))
    >>> slot.take(timeout=0.0).number, slot.arrived, slot.dropped
    (2, 3, 2)
    """

    def __init__(self) -> None:
        self.arrived = 0
        self.dropped = 0
        self._frame: Frame | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> None:
        """Leave a frame; a closed slot drops it."""
        with self._changed:
            self.arrived += 1
            if self._frame is not None or self._closed:
                self.dropped += 1
            self._frame = None if self._closed else frame
            self._changed.notify_all()

    def take(self, timeout: float) -> Frame | None:
        """Wait for a frame, at most so many seconds, and take it; None where none came, or the slot is closed."""
        with self._changed:
            limit = time.monotonic() + timeout
            while self._frame is None and not self._closed:
                left = limit - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)
            frame, self._frame = self._frame, None
            return frame

    def close(self, *, drop: bool = True) -> None:
        """Take no more frames; ``drop``: the one that waits is dropped, else it can still be taken."""
        with self._changed:
            self._closed = True
            if drop and self._frame is not None:
                self.dropped += 1
                self._frame = None
            self._changed.notify_all()

    def finished(self) -> bool:
        """Whether no frame will ever be taken again."""
        with self._changed:
            return self._closed and self._frame is None

    def counts(self) -> tuple[int, int]:
        """Return how many frames arrived and were dropped, as they were at one time."""
        with self._changed:
            return self.arrived, self.dropped
