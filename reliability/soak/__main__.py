"""Explain, scan, record and show live, all at once, for an hour.

A camera's overlay runs all the time, watched by pages that come and go; beside it maps of several networks are made by
every method, a tomogram is scanned into MRC and OME-Zarr, and short sessions are recorded. Results are compared with
the first of their kind, bit for bit, and with float64. What the process holds is looked at every few seconds: of memory
the last tenth of the time may have 20 MB more than the first tenth behind the warm-up; descriptors and threads have to
be as many as before when all of it has ended.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import torch

from bench.report import Circumstances, Report
from reliability.record import keep
from reliability.soak.census import Count, at_rest, drift, own_threads
from reliability.soak.explaining import Explaining
from reliability.soak.living import Living
from reliability.soak.recording import Recording
from reliability.soak.scanning import Scanning

DRIFT = 20.0  # megabytes
_WARM_UP = 1 / 12  # of the time, until caches, pools of the allocator and lazy imports are as large as they get
_ROUNDS = 3  # of everything, before descriptors and threads are counted


class Work(Protocol):
    """Something that is done again and again, and checks what comes of it."""

    name: str

    def turn(self) -> None:
        """Do it once; an AssertionError where the result is wrong."""


class Worker(threading.Thread):
    """A thread that does works in turn until told to stop, and keeps the first thing that goes wrong."""

    def __init__(self, works: Sequence[Work], pause: float = 0.0) -> None:
        super().__init__(name="soak " + ", ".join(work.name for work in works), daemon=True)
        self._works, self._pause = works, pause
        self.turns = dict.fromkeys((work.name for work in works), 0)
        self.trouble = ""
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            for work in self._works:
                try:
                    work.turn()
                except Exception as error:  # whatever it is, it is what the campaign is for
                    traceback.print_exc()
                    self.trouble = f"{work.name}: {error!r}"
                    return
                self.turns[work.name] += 1
            self.stopping.wait(self._pause)


def soak(seconds: float, folder: Path, every: float = 5.0, fps: float = 10.0) -> Report:
    """Run everything for some time, and return what was found."""
    circumstances = Circumstances.now()
    explaining, scanning, recording = Explaining(), Scanning(folder), Recording(folder)
    _once(explaining, scanning, recording, fps)
    before = at_rest()
    with Living(fps) as living:
        workers = [Worker([explaining, scanning, recording]), Worker([living], pause=1.0)]
        for worker in workers:
            worker.start()
        counts = _watch(seconds, every, workers)
        for worker in workers:
            worker.stopping.set()
        for worker in workers:
            worker.join(120)
    troubles = [worker.trouble or f"{worker.name} hangs" for worker in workers if worker.trouble or worker.is_alive()]
    after = _settled(before)
    turns = {name: turns for worker in workers for name, turns in worker.turns.items()}
    try:
        frames = living.counts()
    except AssertionError as error:
        troubles.append(str(error))
        frames = {}
    return _report(seconds, circumstances, counts, (before, after), turns, frames, troubles)


def _once(explaining: Explaining, scanning: Scanning, recording: Recording, fps: float) -> None:
    """Everything a few times, beginning to end: what stays from now on, stays for good."""
    for _ in range(_ROUNDS):
        for _ in range(4):
            scanning.turn()
        explaining.turn()
        recording.turn()
        with Living(fps) as living:
            living.turn()


def _watch(seconds: float, every: float, workers: Sequence[Worker]) -> list[Count]:
    began = time.monotonic()
    counts: list[Count] = []
    while (now := time.monotonic() - began) < seconds and all(worker.is_alive() for worker in workers):
        counts.append(Count.now(now))
        time.sleep(min(every, max(0.0, seconds - now)))
    return [*counts, Count.now(time.monotonic() - began)]


def _settled(before: Count, patience: float = 15.0) -> Count:
    """What is held when all has ended; sockets take a moment to close."""
    limit = time.monotonic() + patience
    while True:
        after = at_rest()
        as_before = after.descriptors <= before.descriptors and after.threads <= before.threads
        if as_before or time.monotonic() > limit:
            return after
        time.sleep(0.2)


def _report(
    seconds: float,
    circumstances: Circumstances,
    counts: Sequence[Count],
    ends: tuple[Count, Count],
    turns: dict[str, int],
    frames: dict[str, int],
    troubles: list[str],
) -> Report:
    before, after = ends
    warm = [count for count in counts if count.seconds >= seconds * _WARM_UP] or list(counts)
    moved = drift(warm)
    leaks = after.descriptors > before.descriptors, after.threads > before.threads or bool(own_threads())
    rows = [
        ("seconds", f"{counts[-1].seconds:.0f}", f"{seconds:.0f}", counts[-1].seconds < seconds),
        *((f"turns: {name}", str(count), "> 0", count == 0) for name, count in turns.items()),
        *((f"frames {name}", str(count), "", False) for name, count in frames.items()),
        ("wrong results, failures", str(len(troubles)), "0", bool(troubles)),
        ("memory: drift, MB", f"{moved:+.1f}", f"< {DRIFT:g}", moved >= DRIFT),
        ("memory: median, MB", f"{statistics.median(count.resident for count in warm):.0f}", "", False),
        ("descriptors before and after", f"{before.descriptors}, {after.descriptors}", "as many", leaks[0]),
        ("threads before and after", f"{before.threads}, {after.threads}", "as many", leaks[1]),
    ]
    missed = [what for what, _, _, wrong in rows if wrong]
    return Report(
        name="soak",
        command=f"python -m reliability.soak --seconds {seconds:g}",
        circumstances=circumstances,
        columns=("what", "found", "wanted"),
        rows=tuple(row[:3] for row in rows),
        measurements=[{"missed": missed, "troubles": troubles, "counts": [asdict(count) for count in counts[::12]]}],
        summary=f"Missed: {', '.join([*missed, *troubles])}." if missed else "Nothing was found wrong.",
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--write", action="store_true", help="keep the record in reliability/results")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a camera's thread and the others share the processors
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        report = soak(options.seconds, Path(folder))
    print(report.markdown())
    if options.write:
        print(keep(report))
    return int(bool(report.measurements[0]["missed"]))


if __name__ == "__main__":
    sys.exit(main())
