"""``python -m reliability.scans``."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.report import Circumstances, Report
from reliability.record import keep
from reliability.scans import inputs, signals, storage, together, workers
from reliability.scans.processes import make_ready
from reliability.scans.trials import OUTPUTS, Setting, Tally

Kind = Callable[[Setting, np.random.Generator, int], "Tally | list[Tally]"]
KINDS: dict[str, tuple[Kind, float]] = {
    "killed": (signals.killed, 1.0),
    "signals": (signals.asked_to_end, 0.12),
    "full": (storage.full, 0.2),
    "readonly": (storage.read_only, 0.1),
    "deleted": (storage.deleted, 0.3),
    "changed": (inputs.changed, 0.24),
    "clocks": (inputs.clock_jumps, 0.1),
    "twice": (together.twice, 0.12),
    "locks": (together.after_a_kill, 0.12),
    "beside": (together.beside, 0.06),
    "workers": (workers.lost, 0.08),
    "interpreters": (signals.new_interpreters, 0.06),
}
"""What is done to scans, and how often for each SIGKILL."""


def tallies(root: Path, seed: int, cases: int, only: list[str]) -> Iterator[Tally]:
    """Do it all."""
    for output, source in (*((output, ".mrc") for output in OUTPUTS), ("cam.zarr", ".zarr")):
        setting = None
        for name, (kind, share) in KINDS.items():
            if (not only or name in only) and (source == ".mrc" or name == "changed"):
                setting = setting or Setting(root, output, source)
                began = time.monotonic()
                rng = np.random.default_rng([seed, len(output), sorted(KINDS).index(name)])
                found = kind(setting, rng, max(1, round(cases * share)))
                for tally in found if isinstance(found, list) else [found]:
                    print(f"{tally.what}, {tally.output}: {tally.tried} in {time.monotonic() - began:.0f} s,"
                          f" {dict(tally.ends)}, {len(tally.wrong)} wrong", file=sys.stderr)  # fmt: skip
                    for wrong in tally.wrong:
                        print(f"  {wrong}", file=sys.stderr)
                    yield tally


def reported(found: list[Tally], command: str, circumstances: Circumstances) -> Report:
    """The table."""
    rows = [
        (one.what, f"`{one.output}`", f"{one.tried}", ", ".join(f"{n} × {end}" for end, n in sorted(one.ends.items())),
         f"{len(one.wrong)}") for one in found
    ]  # fmt: skip
    tried, wrong = sum(one.tried for one in found), sum(len(one.wrong) for one in found)
    return Report(
        "scans", command, circumstances, ("disturbance", "output", "tried", "how the scan ended", "wrong"),
        tuple(rows), [{"what": one.what, "output": one.output, "tried": one.tried, "ends": dict(one.ends),
                       "wrong": one.wrong} for one in found],
        f"{tried} disturbances, {wrong} found wrong.",
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.scans", description=__doc__)
    parser.add_argument("--cases", type=int, default=50, help="SIGKILLs for each output (default 50)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=[], help="some kinds of disturbance alone")
    parser.add_argument("--write", action="store_true", help="keep the table in reliability/results")
    options = parser.parse_args()
    circumstances = Circumstances.now()
    make_ready()
    with tempfile.TemporaryDirectory(prefix="camfast-scans-") as folder:
        found = list(tallies(Path(folder), options.seed, options.cases, options.only))
    report = reported(found, " ".join(["python -m reliability.scans", *sys.argv[1:]]), circumstances)
    print(report.markdown())
    if options.write:
        keep(report)
    return int(any(one.wrong for one in found))


if __name__ == "__main__":
    sys.exit(main())
