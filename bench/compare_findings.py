"""What `bench.compare` measures of a cell, and what it has found so far."""

import functools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from bench import contenders, peak_memory
from bench.compare_targets import Judgement, judge_classes, judge_memory, judge_times
from bench.contenders import CAMFAST, FORWARD, RESPOND, Cell
from bench.jobs import CannotError
from bench.networks import named
from bench.peak_memory import Peak
from bench.peers import PEERS, Peer
from bench.report import Circumstances
from bench.timing import Comparison, call_in_a_row, call_once, compare, until_conclusive

# Seconds from which on a call needs no other before it to be warm: what caches hold is read in a hundredth of that.
LONG = 0.25
# Batches whose peak memory is measured: below, the weights are all there is to see.
MEMORY_BATCH = 8
# Processes whose median is taken where a bound lies near; the others differ by factors.
PROCESSES = {FORWARD: 3, CAMFAST: 3, RESPOND: 3}
# All classes of one input.
ALL_CLASSES = Cell(named("CNN-1"), 1)


@dataclass(frozen=True)
class Times:
    """A cell's times, and who can't take part, with the reason."""

    compared: Comparison
    unable: dict[str, CannotError]

    def content(self) -> dict[str, Any]:
        """For JSON."""
        unable = {name: f"{error.cell}: {error}" for name, error in self.unable.items()}
        return {"unable": unable, "A/A": self.compared.control_ratio, **asdict(self.compared)}


@dataclass
class Findings:
    """What has been measured so far.

    Attributes
    ----------
    command, circumstances
        What measures, where.
    times, memory
        By cell; peaks by contender.
    classes
        The times of all classes.
    left_out
        Cells without a line, and why.
    """

    command: str
    circumstances: Circumstances
    times: dict[Cell, Times] = field(default_factory=dict)
    memory: dict[Cell, dict[str, Peak]] = field(default_factory=dict)
    classes: Times | None = None
    left_out: list[str] = field(default_factory=list)

    def judgements(self) -> list[Judgement]:
        """What was promised, held against what there is."""
        found: list[Judgement] = []
        for cell, times in self.times.items():
            found += judge_times(cell, times.compared)
        for cell, peaks in self.memory.items():
            found += judge_memory(cell, peaks)
        if self.classes is not None:
            found.append(judge_classes(ALL_CLASSES, self.classes.compared))
        return found

    def content(self) -> dict[str, Any]:
        """Everything, with every time that was taken."""
        return {
            "command": self.command,
            "circumstances": asdict(self.circumstances),
            "peers": versions(),
            "left out": self.left_out,
            "times": [{**_named(cell), **times.content()} for cell, times in self.times.items()],
            "memory": [
                {**_named(cell), "bytes": {name: asdict(peak) for name, peak in peaks.items()}}
                for cell, peaks in self.memory.items()
            ],
            "all classes": None if self.classes is None else {**_named(ALL_CLASSES), **self.classes.content()},
            "targets": [judgement.cells() for judgement in self.judgements()],
        }


def versions(peers: Sequence[Peer] = PEERS) -> dict[str, str | None]:
    """The peers' versions, None where one is not installed."""
    return {peer.name: peer.version for peer in peers}


def times_of(
    cell: Cell,
    seconds: float,
    deadline: float,
    *,
    rounds: tuple[int, int] = (7, 41),
    long: float = LONG,
    peers: Sequence[Peer] = PEERS,
) -> Times:
    """Time everybody who can: short calls behind an untimed one each, long ones as they are."""
    job, sigma = cell.job(), cell.network.sigma
    able, unable = contenders.contenders(job, sigma, peers)
    measure = functools.partial(
        compare, able, check=contenders.check(job, sigma, peers), seconds=seconds, rounds=rounds
    )
    if call_in_a_row(able[FORWARD], 1) >= long:
        measure = functools.partial(measure, block=0.0, stopwatch=call_once)
    return Times(until_conclusive(measure, deadline), unable)


def classes_of(
    cell: Cell, seconds: float, deadline: float, *, rounds: tuple[int, int] = (5, 9), peers: Sequence[Peer] = PEERS
) -> Times:
    """Time the maps of all classes; single calls, as some take seconds."""
    job = cell.job()
    able, unable = contenders.of_all_classes(job, peers)
    verify = contenders.check_all_classes(job, peers)
    measure = functools.partial(
        compare, able, check=verify, seconds=seconds, rounds=rounds, block=0.0, stopwatch=call_once
    )
    return Times(until_conclusive(measure, deadline), unable)


def memory_of(cell: Cell, peers: Sequence[Peer] = PEERS, processes: Mapping[str, int] = PROCESSES) -> dict[str, Peak]:
    """Peak memory of each in a process of its own; of several, the one whose peak is the median."""
    peaks = {}
    for name in (FORWARD, CAMFAST, RESPOND, *(peer.name for peer in peers if peer.version is not None)):
        found = [peak_memory.measure(cell, name) for _ in range(processes.get(name, 1))]
        middle = statistics.median_low(peak.above for peak in found)
        peaks[name] = next(peak for peak in found if peak.above == middle)
    return peaks


def _named(cell: Cell) -> dict[str, Any]:
    return {
        "network": cell.network.name, "layer": cell.network.layer, "sigma": cell.network.sigma, "batch": cell.batch,
        "dtype": str(cell.dtype).removeprefix("torch."), "device": cell.device,
    }  # fmt: skip
