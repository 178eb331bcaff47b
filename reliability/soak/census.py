"""What a process holds: memory, descriptors, threads."""

import gc
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_POOL = "asyncio_"
_SHARE = 10  # the first and the last tenth are compared


@dataclass(frozen=True)
class Count:
    """What a process holds at a moment.

    Attributes
    ----------
    seconds
        Since the beginning.
    resident
        Megabytes in memory.
    descriptors
        Open files, sockets, pipes.
    threads
        Of Python and of libraries, but for the pool of Zarr's event loop, which has as many as were ever needed at once
        and never fewer.
    """

    seconds: float
    resident: float
    descriptors: int
    threads: int

    @classmethod
    def now(cls, seconds: float = 0.0) -> "Count":
        """Look at this process, by Linux's ``/proc``."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
        threads = sum(1 for _ in Path("/proc/self/task").iterdir())
        threads -= sum(thread.name.startswith(_POOL) for thread in threading.enumerate())
        return cls(seconds, pages * 4096 / 1e6, descriptors, threads)


def at_rest() -> Count:
    """Look when what is garbage has gone."""
    gc.collect()
    return Count.now()


def drift(counts: Sequence[Count]) -> float:
    """Megabytes by which the last tenth's median is over the first tenth's.

    A median, as what is being worked on comes and goes; what leaks stays.
    """
    size = max(1, len(counts) // _SHARE)
    first, last = (statistics.median(count.resident for count in part) for part in (counts[:size], counts[-size:]))
    return last - first


def own_threads() -> list[str]:
    """Names of the threads of camfast that live."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("camfast"))
