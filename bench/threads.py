"""Explanations a second by one Python thread and by many, on one model and explainer: ``python -m bench.threads``.

Each contender makes the same calls on the same inputs, which 1, 2 or 8 Python threads take from one queue. They start,
and make a call each, before the clock does, and end with the run: where a process has more threads of OpenMP than
cores, idle ones included, all of them sleep between operations, which costs a small network half of its speed or more.
Two settings of torch, which each thread has for itself:

- one thread an operation: Python threads are all the parallelism there is;
- a thread an operation for every core, as torch does where it isn't told otherwise: one Python thread uses every core,
  and 8 of them want eight times as many threads as there are cores.

A ratio is the throughput of several Python threads over that of one in the same setting, and *over the best* that of
one in whichever setting it is faster: what a service gains over the best that a single thread can do. The interpreter
lets one thread run Python at a time, so what a call does in Python between its operations is what keeps the ratio of
small networks from the number of cores; the plain forward pass, which camfast has no part in, stands beside it for that
reason. Many threads must not explain less than one does.
"""

import argparse
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

import camfast
from bench.networks import Network, named
from bench.report import Circumstances, Report
from bench.targets import DOUBTFUL, KEPT, MISSED
from bench.timing import Comparison, Contender, compare, until_conclusive

COLUMNS = (
    "network", "batch", "call", "threads an operation", "calls a second", "2 threads", "8 threads", "over the best",
    "A/A", "others", "8 threads ≥ one",
)  # fmt: skip
CASES = (("CNN-2", 1, 16), ("CNN-2", 8, 16), ("ResNet-20", 1, 64), ("ResNet-20", 64, 16))  # calls a run
THREADS = (1, 2, 8)
CALLS = ("explain", "forward")

Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Crew:
    """So many Python threads, each with so many for an operation of torch."""

    threads: int
    operations: int

    @property
    def name(self) -> str:
        return f"{self.threads} × {self.operations}"

    @contextmanager
    def at_work(self) -> Iterator[ThreadPoolExecutor]:
        """The threads, all of them started."""
        started = threading.Barrier(self.threads)

        def start() -> None:
            torch.get_num_threads()  # takes the process's number once, and would undo what is set before
            torch.set_num_threads(self.operations)
            started.wait()

        with ThreadPoolExecutor(self.threads, initializer=start) as pool:
            found = list(pool.map(lambda _: torch.get_num_threads(), range(self.threads)))
            assert set(found) == {self.operations}, f"threads that use {found} threads an operation"
            yield pool


@dataclass(frozen=True)
class Shift:
    """Calls that a crew makes together."""

    crew: Crew
    call: Call
    batches: Sequence[Tensor]

    def __call__(self) -> list[Tensor]:
        """What the calls return."""
        with self.crew.at_work() as pool:
            return list(pool.map(self.call, self.batches))

    def seconds(self) -> float:
        """How long the calls take a crew that is warm."""
        with self.crew.at_work() as pool:
            together = threading.Barrier(self.crew.threads)

            def once(index: int) -> None:
                self.call(self.batches[index % len(self.batches)])
                together.wait(60)  # so that each thread makes one; another's error ends the wait

            list(pool.map(once, range(self.crew.threads)))
            start = time.perf_counter()
            for _ in pool.map(self.call, self.batches):
                pass  # let go of what it returned
            return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.threads", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shortly, the smallest network only")
    parser.add_argument("--seconds", type=float, default=20.0, help="about how long each line is measured")
    parser.add_argument("--patience", type=float, default=0.0, help="minutes for lines to be repeated in quieter times")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument("--json", type=Path, help="write every time that was taken to this file")
    options = parser.parse_args()
    if options.write and options.quick:
        parser.error("--write is for the full measurement: leave out --quick")

    deadline = time.monotonic() + 60 * options.patience
    circumstances = Circumstances.now()
    torch.set_num_threads(1)  # of this thread, which must not have any that idle beside the crews
    rows: list[tuple[str, ...]] = []
    measurements = []
    for name, batch, calls in [("ResNet-20", 1, 16)] if options.quick else CASES:
        network = named(name)
        for kind in CALLS:
            measure = functools.partial(
                measured, network, batch, calls, kind, seconds=1.0 if options.quick else options.seconds
            )
            compared = until_conclusive(measure, deadline)
            measurements.append({"network": name, "batch": batch, "call": kind, "calls": calls, **asdict(compared)})
            rows += lines(network.name, batch, kind, calls, compared)
    command = "python -m bench.threads" + (f" --patience {options.patience:g}" if options.patience else "")
    report = Report("threads", command, circumstances, COLUMNS, tuple(rows), measurements)
    print(report.markdown())
    if options.write:
        report.write_into()
    if options.json:
        report.write_json(options.json)


def settings() -> tuple[int, ...]:
    """Threads an operation that are measured."""
    return tuple(sorted({1, os.cpu_count() or 1}))


def crews() -> list[Crew]:
    return [Crew(threads, operations) for operations in settings() for threads in THREADS]


def measured(
    network: Network, batch: int, calls: int, kind: str, *, seconds: float, rounds: tuple[int, int] = (7, 51)
) -> Comparison:
    """Compare the crews at one kind of call, after checking that each returns what one thread does."""
    batches = list(network.inputs(batch * calls).split(batch))
    call = calls_of(network)[kind]
    expected = Shift(Crew(1, 1), call, batches)()

    def check(name: str, found: object) -> None:
        assert isinstance(found, list)
        for maps, alone in zip(found, expected, strict=True):
            # another number of threads an operation adds up in another order
            torch.testing.assert_close(
                maps, alone, rtol=1e-3, atol=1e-4 * float(alone.abs().max()), msg=lambda text: f"{name}: {text}"
            )

    contenders = {crew.name: Shift(crew, call, batches) for crew in crews()}
    return compare(contenders, check=check, seconds=seconds, rounds=rounds, stopwatch=_run)


def calls_of(network: Network) -> dict[str, Call]:
    """What is measured: one explainer upsampling by Gaussians, and the plain forward pass without a graph."""
    model = network.model()
    explainer = camfast.Explainer(model, network.layer, "respond", upsample="gaussian", sigma=network.sigma)

    def explain(inputs: Tensor) -> Tensor:
        maps: Tensor = explainer(inputs).maps
        return maps

    def forward(inputs: Tensor) -> Tensor:
        with torch.no_grad():
            scores: Tensor = model(inputs)
        return scores

    return {"explain": explain, "forward": forward}


def lines(network: str, batch: int, kind: str, calls: int, compared: Comparison) -> list[tuple[str, ...]]:
    """A line of the table for each setting."""
    others = "–" if compared.others is None else f"{compared.others:.0%}"
    doubt = "" if compared.conclusive else " ?"
    best = min(settings(), key=lambda operations: compared.timings[Crew(1, operations).name].median)
    found = []
    for operations in settings():
        one = compared.timings[Crew(1, operations).name]
        cells = []
        for threads, below in ((2, operations), (8, operations), (8, best)):
            ratio = compared.ratio(Crew(1, below).name, Crew(threads, operations).name)
            cells.append(f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f}){doubt}")
        found.append((
            network, str(batch), kind, str(operations), f"{calls / one.median:.1f}", *cells,
            f"{compared.control_ratio:.2f}", others, verdict(compared, operations) if kind == "explain" else "–",
        ))  # fmt: skip
    return found


def verdict(compared: Comparison, operations: int) -> str:
    """Whether eight threads get at least as much done as one."""
    if not compared.conclusive:
        return DOUBTFUL
    return KEPT if compared.ratio(Crew(1, operations).name, Crew(8, operations).name).median >= 1 else MISSED


def _run(contender: Contender, runs: int) -> float:
    """Seconds of a run."""
    assert isinstance(contender, Shift)
    return sum(contender.seconds() for _ in range(runs)) / runs


if __name__ == "__main__":
    main()
