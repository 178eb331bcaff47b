"""The whole campaign: every format's mutants, its bombs, and a sample at the command line."""

import collections
import importlib
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reliability.files import commands
from reliability.files.bombs import BOMBS
from reliability.files.formats import FORMATS
from reliability.files.workers import FINE, Outcome, Worker, write_files

READERS = ("torch", "zarr", "tifffile", "nibabel", "mrcfile", "gemmi.cif", "PIL.Image", "camfast.scan",
           "camfast.models", "camfast.cli")  # fmt: skip
OF_COMMANDS = ("camfast.plot", "torch._dynamo", "matplotlib.pyplot")
MEMORY = Path("/dev/shm")  # where it is there, mutants don't wait for a disk


@dataclass
class Found:
    """How the files of one format went."""

    name: str
    mutants: collections.Counter[str] = field(default_factory=collections.Counter)
    bombs: collections.Counter[str] = field(default_factory=collections.Counter)
    commands: collections.Counter[str] = field(default_factory=collections.Counter)
    wrong: list[tuple[str, int | str, Outcome]] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0
    seconds: float = 0.0

    def add(self, kind: str, what: int | str, outcome: Outcome) -> None:
        counter = {"bomb": self.bombs, "command": self.commands}.get(kind, self.mutants)
        counter[outcome["end"]] += kind != "valid"
        if outcome["end"] not in (FINE[:1] if kind == "valid" else FINE):
            self.wrong.append((kind, what, outcome))
        self.slowest = max(self.slowest, outcome.get("seconds", 0.0))
        self.largest = max(self.largest, outcome.get("grown", 0))


def load_libraries(*, commanded: bool) -> None:
    """Import what workers need before they are forked; none of it starts a thread."""
    for name in (*READERS, *(OF_COMMANDS if commanded else ())):
        importlib.import_module(name)


def tried(name: str, seed: int, cases: int, sample: int, bombs: Iterable[str], processes: int = 0) -> Found:
    """Try the mutants of a format, its bombs, and a sample of the mutants at the command line.

    Parameters
    ----------
    name
        Of the format.
    seed, cases
        The mutants with the numbers 0 to cases - 1 of a seed; the valid files are read before them.
    sample
        How many of them a command is given.
    bombs
        Which bombs of this format.
    processes
        How many of the sample a process of its own is given.
    """
    found, began = Found(name), time.perf_counter()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        place = Path(folder, "mutant")
        worker = Worker(name, seed, place)
        valid = range(-worker.valid, 0)
        for kind, whats in (
            ("valid", valid),
            ("mutant", range(cases)),
            ("bomb", [one for one in bombs if BOMBS[one][0] == name]),
        ):
            for what, outcome in worker.read(kind, whats):
                found.add(kind, what, outcome)
        worker.close()
        worker = Worker(name, seed, place, commanded=True)
        chosen = range(0, cases, max(1, cases // sample)) if sample else ()
        for what, outcome in worker.read("command", chosen):
            found.add("command", what, outcome)
        worker.close()
        made = FORMATS[name].seeds() if processes and not name.startswith("OME") else []
        for index in range(processes if made else 0):
            file, files = FORMATS[name].mutant(made, seed, index)
            found.add("command", index, commands.in_process(name, write_files(place, file, files), index))
    found.seconds = time.perf_counter() - began
    return found


def row(found: Found) -> tuple[str, ...]:
    """What the table says of a format."""
    read, refused = found.mutants["read"], found.mutants["refused"]
    return (
        found.name, f"{found.mutants.total():,}", f"{read:,}", f"{refused:,}", str(found.bombs.total()),
        str(found.commands.total()), str(len(found.wrong)), f"{found.slowest * 1e3:,.0f}",
        f"{found.largest / 1e6:,.0f}",
    )  # fmt: skip


COLUMNS = ("format", "mutants", "read rightly", "refused", "bombs", "commands", "wrong", "slowest, ms", "memory, MB")


def measured(found: Found) -> dict[str, Any]:
    return {
        "format": found.name,
        "mutants": dict(found.mutants),
        "bombs": dict(found.bombs),
        "commands": dict(found.commands),
        "wrong": [[kind, what, outcome["end"], outcome["says"][:300]] for kind, what, outcome in found.wrong[:20]],
        "slowest_seconds": found.slowest,
        "largest_bytes": found.largest,
        "seconds": round(found.seconds, 1),
    }
