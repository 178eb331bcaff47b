"""The long checks that have no table of their own: ``python -m reliability.release [PART ...] [--write]``.

Each part is a target of the Makefile. One that fails doesn't keep the others from being tried; 1 is returned then.
``--write`` keeps when each part was run last, on which commit, how long it took and how it ended; parts that aren't run
keep what is known of them.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.report import ROOT, Circumstances, Report, commit, now, table
from reliability.record import RESULTS, keep, kept

PARTS = ("sanitize", "slow", "audit")
COLUMNS = ("part", "last run", "commit", "minutes", "ended")
Row = tuple[str, ...]


def run(part: str, command: Sequence[str]) -> Row:
    """Run a part, and say when, on which commit, for how long, and how it ended."""
    started, date, of = time.monotonic(), now(), commit()
    code = subprocess.run(command, cwd=ROOT).returncode
    minutes = (time.monotonic() - started) / 60
    return (f"`make {part}`", date, of, f"{minutes:.1f}", "passed" if code == 0 else f"failed, {code}")


def together(rows: Sequence[Row], folder: Path = RESULTS, parts: Sequence[str] = PARTS) -> Report:
    """The newest row of each part, of these and of those that are kept."""
    before = [row for report in kept(folder) if report.name == "release" for row in report.rows]
    newest: Mapping[str, Row] = {row[0]: row for row in (*before, *rows)}
    names = [f"`make {part}`" for part in parts]
    missing = [name for name in names if name not in newest]
    return Report(
        "release",
        "python -m reliability.release --write",
        Circumstances.now(),
        COLUMNS,
        tuple(newest[name] for name in names if name in newest),
        summary=f"Not run yet: {', '.join(missing)}." if missing else "",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.release", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"which of {', '.join(PARTS)}; all unless said otherwise")
    parser.add_argument("--write", action="store_true", help=f"keep it in {RESULTS.relative_to(ROOT)}/release.json")
    options = parser.parse_args(arguments)
    if strange := [part for part in options.part if part not in PARTS]:
        parser.error(f"no part is called {', '.join(strange)}; there are {', '.join(PARTS)}")
    rows = []
    for part in options.part or PARTS:
        print(f"== make {part}", flush=True)
        rows.append(run(part, ["make", part]))
        if options.write:
            keep(together(rows))
    print(table(COLUMNS, rows))
    return int(any(row[-1] != "passed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
