"""Times of several callables, taken in turns.

A machine that others use changes its speed from second to second. What is to be compared therefore runs in one process
in rounds: each contender once a round, in an order drawn anew, and ratios are taken within a round before their median
is. The first contender runs twice in each round; the ratio of the two, which would be 1 on a quiet machine, says what
the other ratios are worth. It doesn't say all: where other processes want the cores too, threads that wait for each
other by spinning, as OpenMP's do, lose whole time slices, each time alike; so what others used is measured as well.
"""

import ctypes
import gc
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Contender = Callable[[], object]
# seconds a call, from so many calls of a contender in a row
Stopwatch = Callable[[Contender, int], float]

# Beyond these a comparison is inconclusive: the control, and the part of all cores' time that other processes took.
CONTROL_LIMIT = 1.05
OTHERS_LIMIT = 0.1

_CONTROL = "control"
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


@dataclass(frozen=True)
class Timing:
    """Seconds a call, one value for each round: the mean of ``calls`` calls in a row."""

    seconds: tuple[float, ...]
    calls: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Ratio:
    """Median and quartiles of a ratio over the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Timings of the contenders by name, and of the first one's second runs; what other processes used meanwhile."""

    timings: dict[str, Timing]
    control: Timing
    others: float | None

    def ratio(self, above: str, below: str) -> Ratio:
        """How many times the time of ``below`` the contender ``above`` takes."""
        return _ratio(self.timings[above], self.timings[below])

    @property
    def control_ratio(self) -> float:
        """How far apart the first contender and itself were, as a factor of at least 1."""
        first = next(iter(self.timings.values()))
        median = _ratio(first, self.control).median
        return max(median, 1 / median)

    @property
    def conclusive(self) -> bool:
        return self.control_ratio <= CONTROL_LIMIT and (self.others or 0.0) <= OTHERS_LIMIT


def call_in_a_row(contender: Contender, calls: int) -> float:
    """Seconds a call, after one that isn't timed: it wakes threads and brings data back into the caches."""
    contender()
    start = time.perf_counter()
    for _ in range(calls):
        contender()
    return (time.perf_counter() - start) / calls


def call_once(contender: Contender, calls: int) -> float:  # noqa: ARG001
    """Seconds of one call, of contenders that take so long that no other has to warm them."""
    start = time.perf_counter()
    contender()
    return time.perf_counter() - start


def compare(
    contenders: Mapping[str, Contender],
    *,
    check: Callable[[str, object], None],
    seconds: float = 2.0,
    rounds: tuple[int, int] = (7, 101),
    block: float = 2e-3,
    stopwatch: Stopwatch = call_in_a_row,
) -> Comparison:
    """Check what the contenders return, then time them in turns.

    Parameters
    ----------
    contenders
        By name; the first is also the control.
    check
        Takes a contender's name and what it returned, and raises where that is wrong.
    seconds
        About how long to measure.
    rounds
        The fewest and the most rounds, whatever they take.
    block
        Seconds for which each contender runs in a round, in as many calls as that takes, one at least; 0: one call.
    stopwatch
        What times them.
    """
    for name, contender in contenders.items():
        check(name, contender())
    calls = dict.fromkeys(contenders, 1)
    if block:
        calls = {name: max(1, math.ceil(block / _duration(run, stopwatch))) for name, run in contenders.items()}
    first = next(iter(contenders))
    entries = [*((name, name) for name in contenders), (_CONTROL, first)]
    seen: dict[str, list[float]] = {entry: [] for entry, _ in entries}
    draw = random.Random(0)
    collecting = gc.isenabled()
    gc.disable()
    try:
        start, foreign_before = time.perf_counter(), _foreign_seconds()
        for done in range(rounds[1]):
            if done >= rounds[0] and time.perf_counter() - start > seconds:
                break
            draw.shuffle(entries)
            for entry, name in entries:
                seen[entry].append(stopwatch(contenders[name], calls[name]))
        elapsed = time.perf_counter() - start
        foreign = _foreign_seconds()
    finally:
        if collecting:
            gc.enable()
    others = None
    if foreign is not None and foreign_before is not None:
        others = max(0.0, foreign - foreign_before) / (elapsed * (os.cpu_count() or 1))
    timings = {name: Timing(tuple(seen[name]), calls[name]) for name in contenders}
    return Comparison(timings, Timing(tuple(seen[_CONTROL]), calls[first]), others)


def until_conclusive(measure: Callable[[], Comparison], deadline: float, pause: float = 5.0) -> Comparison:
    """Measure again while a comparison is inconclusive and `time.monotonic` is before a deadline; return the last.

    What decides is the control and the other processes, never the ratio.
    """
    compared = measure()
    while not compared.conclusive and time.monotonic() < deadline:
        time.sleep(pause)
        compared = measure()
    return compared


def milliseconds(timing: Timing) -> str:
    """A median for a table, in three digits."""
    value = timing.median * 1e3
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def times(compared: Comparison, above: str, below: str) -> str:
    """A ratio with its quartiles for a table, marked where the control says that it proves nothing."""
    ratio = compared.ratio(above, below)
    text = f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"
    return text if compared.conclusive else f"{text} ?"


def trust(compared: Comparison) -> tuple[str, str]:
    """The control and what others used, for a table."""
    others = "–" if compared.others is None else f"{compared.others:.0%}"
    return f"{compared.control_ratio:.2f}", others


def keep_freed_memory() -> bool:
    """Have the allocator keep what is freed, so that fresh outputs are as warm as reused ones; False where it can't.

    A large allocation otherwise comes from the system each time, and the first touch of each page costs more than many
    an op. That would be counted against whoever has no ``out=``.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc has it, musl has not
    return mallopt is not None and all([mallopt(_M_MMAP_MAX, 0), mallopt(_M_TRIM_THRESHOLD, -1)])


def _foreign_seconds() -> float | None:
    """Seconds that cores have been busy for other processes; None where the system doesn't tell."""
    try:
        line = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    own = os.times()
    return busy - own.user - own.system


def _ratio(above: Timing, below: Timing) -> Ratio:
    ratios = [a / b for a, b in zip(above.seconds, below.seconds, strict=True)]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(median, low, high)


def _duration(contender: Contender, stopwatch: Stopwatch) -> float:
    """Seconds of a warm call, roughly."""
    contender()
    return min(stopwatch(contender, 1) for _ in range(2))
