"""camfast beside its peers on a GPU: ``python -m bench.compare --gpu``.

Times are those of a caller who makes many calls in a row, launches counted, and the GPU waited for at the end; memory
is what torch's allocator has handed out at most, beside what was there before the first call. Lines come in the order
of their importance, as time can run out; the file is written after each.
"""

import dataclasses
import gc
import json
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from bench import compare_tables as tables
from bench import compare_targets, contenders
from bench.compare_findings import Findings, Times, versions
from bench.contenders import CAMFAST, CELLS, FORWARD, RESPOND, Cell
from bench.gpu import Gpu
from bench.jobs import CannotError
from bench.networks import named
from bench.peak_memory import Peak
from bench.peers import PEERS, Peer
from bench.report import Circumstances, table
from bench.roofline import RESULTS
from bench.timing import compare

FOLDER = RESULTS / "compare"
COMMAND = "python -m bench.compare --gpu"
# What was promised first, then the same in float32, then what the processors are measured on.
GPU_CELLS = (
    Cell(named("CNN-1"), 64, torch.bfloat16),
    Cell(named("ResNet-50"), 64, torch.bfloat16),
    Cell(named("CNN-1"), 1),
    Cell(named("CNN-1"), 64),
    Cell(named("ResNet-50"), 64),
    *(cell for cell in CELLS if (cell.network.name, cell.batch) != ("CNN-1", 1)),
)


class GpuComparison:
    """The measurements of one run."""

    def __init__(self, gpu: Gpu, deadline: float, seconds: float = 2.0, peers: Sequence[Peer] = PEERS) -> None:
        self.gpu, self.deadline, self.seconds, self.peers = gpu, deadline, seconds, peers
        self.circumstances = gpu.circumstances()
        self.findings = Findings(COMMAND, Circumstances.now())
        self.errors: list[str] = []

    def measure(self, cell: Cell) -> None:
        """Measure a line; what fails is written down, and the rest goes on."""
        cell = dataclasses.replace(cell, device=self.gpu.device)
        if time.monotonic() > self.deadline:
            self.errors.append(f"{cell.name}, batch {cell.batch}: not measured, the time was up")
            return
        try:
            self._line(cell)
        except CannotError as error:
            self.errors.append(f"{cell.name}, batch {cell.batch}: not measured, {error}")
        except (RuntimeError, AssertionError, TypeError, ValueError) as error:
            traceback.print_exc()
            self.errors.append(f"{cell.name}, batch {cell.batch}: {type(error).__name__}: {error}")
        gc.collect()

    def _line(self, cell: Cell) -> None:
        job, sigma = cell.job(), cell.network.sigma
        peaks: dict[str, Peak] = {}
        for name in (FORWARD, CAMFAST, RESPOND, *(peer.name for peer in self.peers)):
            try:
                peaks[name] = self.gpu.peak(contenders.contender(name, job, sigma, self.peers))
            except CannotError:
                continue  # the times have the reason
            gc.collect()
        able, unable = contenders.contenders(job, sigma, self.peers)
        verify = contenders.check(job, sigma, self.peers)
        compared = compare(able, check=verify, seconds=self.seconds, stopwatch=self.gpu.time_with_launches)
        self.findings.times[cell] = found = Times(compared, unable)
        self.findings.memory[cell] = peaks
        print(*tables.time_row(cell, found), sep="  ", file=sys.stderr, flush=True)

    def judgements(self) -> list[tuple[str, ...]]:
        """What was promised of a GPU, and of every machine."""
        lines = [judgement.cells() for judgement in self.findings.judgements()]
        for cell, found in self.findings.times.items():
            if (cell.network.name, cell.batch) == ("CNN-1", 1):
                lines.append(compare_targets.judge_frozen(cell, found.compared).cells())
        return lines

    def content(self) -> dict[str, Any]:
        """Everything, and the tables as they are shown."""
        times, memory = self.findings.times, self.findings.memory
        return {
            **self.findings.content(),
            "circumstances": self.circumstances,
            "peers": versions(self.peers),
            "errors": self.errors,
            "tables": [
                [tables.TIME_COLUMNS, [tables.time_row(cell, found) for cell, found in times.items()]],
                [tables.MEMORY_COLUMNS, [tables.memory_row(cell, peaks) for cell, peaks in memory.items()]],
                [compare_targets.COLUMNS, self.judgements()],
            ],
        }


def main(limit: float, folder: Path) -> int:
    """Measure for about ``limit`` seconds, and return the exit code: 1 where something failed."""
    started = time.monotonic()
    if not torch.cuda.is_available():
        print(f"{COMMAND} needs a CUDA device, and torch finds none: nothing was measured", file=sys.stderr)
        return 1
    run = GpuComparison(Gpu(), started + limit)
    measure(run, GPU_CELLS, folder)
    print(shown(run.content()))
    return 1 if any("not measured" not in error for error in run.errors) else 0


def measure(run: GpuComparison, cells: Iterable[Cell], folder: Path) -> Path:
    """Measure cells, and write what there is after each, as one step."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.gpu.name.replace(' ', '_').replace('/', '_')}.json"
    for cell in cells:
        run.measure(cell)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(run.content(), indent=1, ensure_ascii=False) + "\n", "utf-8")
        part.replace(path)
    return path


def page(folder: Path = FOLDER) -> str:
    """What stands in bench/README.md: each GPU's tables, or that there is none."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        return f"No GPU has measured these yet: `{COMMAND}`, a part of `make gpu-check`, on a machine with one will."
    return "\n\n".join(shown(json.loads(path.read_text("utf-8"))) for path in paths)


def shown(content: dict[str, Any]) -> str:
    """Tables under the line that says where they were measured, and what is missing."""
    where = ", ".join(f"{name} {value}" for name, value in content["circumstances"].items())
    peers = ", ".join(f"{name} {version or 'not installed'}" for name, version in content["peers"].items())
    parts = [f"`{COMMAND}`: {where}. Peers: {peers}."]
    parts += [table(columns, rows) for columns, rows in content["tables"] if rows]
    if content["errors"]:
        parts.append("\n".join(f"- {error}" for error in content["errors"]))
    return "\n\n".join(parts)
