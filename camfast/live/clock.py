"""Where the time of a frame goes: stages that are stamped, and percentiles of what was measured last."""

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from camfast.recorder import Extract


class StageClock:
    """Names what happened since the last stamp; a stage that is stamped twice adds up.

    Examples
    --------
    >>> clock = StageClock()
    >>> clock.start()
    >>> clock.stamp("prepare")
    >>> list(clock.milliseconds)
    ['prepare']
    """

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = 0.0

    def start(self) -> None:
        """Begin a frame."""
        self.milliseconds = {}
        self._last = time.perf_counter()

    def stamp(self, stage: str) -> None:
        """End a stage, and begin the next."""
        now = time.perf_counter()
        self.milliseconds[stage] = self.milliseconds.get(stage, 0.0) + (now - self._last) * 1e3
        self._last = now

    def ends(self, stage: str, extract: Extract | None) -> Extract:
        """Wrap the function that finds the scores in what a model returns: the stage ends when it is called."""

        def found(result: Any) -> Any:
            self.stamp(stage)
            return result if extract is None else extract(result)

        return found


class Percentiles:
    """Percentiles of the last measurements.

    Parameters
    ----------
    count
        How many are kept.

    Examples
    --------
    >>> latencies = Percentiles(100)
    >>> for value in range(1, 101):
    ...     latencies.add(value)
    >>> latencies.summary()["p50"]
    50.5
    """

    def __init__(self, count: int = 300) -> None:
        self._values: deque[float] = deque(maxlen=count)

    def add(self, value: float) -> None:
        """Measure once."""
        self._values.append(value)

    def summary(self) -> dict[str, float | None]:
        """Return p50, p95 and p99; None each where nothing was measured."""
        values = list(self._values)
        if not values:
            return dict.fromkeys(("p50", "p95", "p99"))
        found = np.percentile(values, (50, 95, 99)).tolist()
        return dict(zip(("p50", "p95", "p99"), found, strict=True))


class Rate:
    """How often something happened in the last seconds.

    Parameters
    ----------
    seconds
        How far back is looked.
    now
        The clock, in seconds.
    """

    def __init__(self, seconds: float = 2.0, now: Callable[[], float] = time.perf_counter) -> None:
        self._seconds, self._now = seconds, now
        self._times: deque[float] = deque()

    def add(self) -> None:
        """It happened."""
        self._times.append(self._now())
        self._forget()

    def per_second(self) -> float:
        """Return the rate between the first and the last time in that span; 0 where there are fewer than two."""
        self._forget()
        times = list(self._times)
        span = times[-1] - times[0] if len(times) > 1 else 0.0
        return (len(times) - 1) / span if span > 0 else 0.0

    def _forget(self) -> None:
        limit = self._now() - self._seconds
        with suppress(IndexError):  # none is left, or another thread has asked as well
            while self._times[0] < limit:
                self._times.popleft()


class Notice:
    """Something to be read for a while.

    Parameters
    ----------
    seconds
        How long it is to be seen.
    now
        The clock, in seconds.
    """

    def __init__(self, seconds: float = 5.0, now: Callable[[], float] = time.perf_counter) -> None:
        self._seconds, self._now = seconds, now
        self._text, self._until = "", 0.0

    def say(self, text: str) -> bool:
        """Show a text from now on; return whether it is another one than before."""
        new = text != self.text
        self._text, self._until = text, self._now() + self._seconds
        return new

    @property
    def text(self) -> str:
        """What is to be read now, or ""."""
        return self._text if self._now() < self._until else ""


class Seldom:
    """Whether it is time again to say something that happens too often to be said each time.

    Parameters
    ----------
    seconds
        Between two times.
    now
        The clock, in seconds.

    Examples
    --------
    >>> seldom = Seldom(60.0)
    >>> seldom.is_time(), seldom.is_time()
    (True, False)
    """

    def __init__(self, seconds: float = 1.0, now: Callable[[], float] = time.perf_counter) -> None:
        self._seconds, self._now = seconds, now
        self._next = -math.inf

    def is_time(self) -> bool:
        """Whether it is; then not again for a while."""
        now = self._now()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
