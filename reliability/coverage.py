"""Lines and branches of ``camfast/`` that the ordinary tests reach: ``python -m reliability.coverage``.

It runs ``make test`` under coverage, processes that tests start among it. What only a GPU can run is not counted: the
list, with its reasons, stands in ``pyproject.toml`` (``[tool.coverage.report] omit``). Lines and branches have to
be covered by 95 % each.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from bench.report import ROOT, Circumstances, Report
from reliability.record import keep

WANTED = 95.0
FOUND = ROOT / "build" / "coverage.json"
_LEAST = 90.0  # a file below is named
_TIMED = "tests/ops/test_plans.py::test_the_overhead_of_a_call_is_small"  # its clock would time coverage


@dataclass(frozen=True)
class Share:
    """How much of something was reached."""

    lines: int = 0
    lines_reached: int = 0
    branches: int = 0
    branches_reached: int = 0

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> "Share":
        """From a summary of coverage's JSON."""
        names = "num_statements", "covered_lines", "num_branches", "covered_branches"
        return cls(*(int(summary[name]) for name in names))

    def __add__(self, other: "Share") -> "Share":
        return Share(*(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    @property
    def counts(self) -> tuple[int, int, int, int]:
        return self.lines, self.lines_reached, self.branches, self.branches_reached

    @property
    def percent(self) -> tuple[float, float]:
        """Of lines, and of branches; all of nothing is 100."""
        return _percent(self.lines_reached, self.lines), _percent(self.branches_reached, self.branches)


def _percent(reached: int, all_of_them: int) -> float:
    return 100.0 * reached / all_of_them if all_of_them else 100.0


def report(found: Mapping[str, Any], circumstances: Circumstances) -> Report:
    """A table by folder of what coverage's JSON says."""
    files = {PurePath(name): Share.of(about["summary"]) for name, about in found["files"].items()}
    folders: defaultdict[str, Share] = defaultdict(Share)
    for path, share in files.items():
        folders["/".join(path.parts[:2]) if len(path.parts) > 2 else path.parts[0]] += share
    total = sum(files.values(), Share())
    rows = [_row(name, share) for name, share in sorted(folders.items())] + [_row("all", total)]
    low = [f"{path} {min(share.percent):.0f} %" for path, share in files.items() if min(share.percent) < _LEAST]
    reached = min(total.percent) >= WANTED
    return Report(
        name="coverage",
        command="python -m reliability.coverage",
        circumstances=circumstances,
        columns=("folder", "lines", "reached", "branches", "reached"),
        rows=tuple(rows),
        measurements=[{"reached": reached, "low": low}],
        summary=f"{WANTED:g} % of lines and of branches: {'reached' if reached else 'missed'}. "
        + (f"Files below {_LEAST:g} % in one of both: {', '.join(low)}." if low else f"No file is below {_LEAST:g} %."),
    )


def _row(name: str, share: Share) -> tuple[str, ...]:
    lines, branches = share.percent
    return name, str(share.lines), f"{lines:.1f} %", str(share.branches), f"{branches:.1f} %"


def missing(found: Mapping[str, Any]) -> Iterator[str]:
    """Lines and branches that nothing reached, a line each file."""
    for name, about in sorted(found["files"].items()):
        branches = [f"{start}→{end}" for start, end in about.get("missing_branches", ())]
        if about["missing_lines"] or branches:
            yield f"{name}: lines {about['missing_lines']}, branches {', '.join(branches)}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.coverage", description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the record in reliability/results")
    parser.add_argument("--again", type=Path, metavar="JSON", help="read what an earlier run has left; run no test")
    options = parser.parse_args()
    circumstances = Circumstances.now()
    path = options.again or FOUND
    if options.again is None:
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        arguments = f"--cov --cov-report=json:{path} --deselect {_TIMED}"
        if subprocess.run(["make", "test", f"PYTEST_ARGS={arguments}"], cwd=ROOT).returncode:
            print("the tests failed: what they reach means nothing", file=sys.stderr)
            return 1
    found = json.loads(path.read_text("utf-8"))
    table = report(found, circumstances)
    print(*missing(found), "", table.markdown(), sep="\n")
    if options.write:
        print(keep(table))
    return int(not table.measurements[0]["reached"])


if __name__ == "__main__":
    sys.exit(main())
