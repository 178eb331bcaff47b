"""What ``import camfast`` takes over ``import torch``: ``python -m bench.import_time``.

Fresh interpreters, each of which imports torch and then camfast and says how long each took; medians over them. The
first one isn't counted: it compiles what isn't compiled yet and brings the files into the system's cache.
"""

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.report import Circumstances, Report
from bench.targets import KEPT, MISSED

COLUMNS = ("import", "median ms", "quartiles ms", "target", "verdict")
TARGET = 300.0  # milliseconds
_CODE = """
import json, time
start = time.perf_counter()
import torch
between = time.perf_counter()
import camfast
print(json.dumps([(between - start) * 1e3, (time.perf_counter() - between) * 1e3]))
"""


@dataclass(frozen=True)
class Imports:
    """Milliseconds in each interpreter, of torch and then of camfast."""

    torch: tuple[float, ...]
    camfast: tuple[float, ...]


def measure(rounds: int = 15) -> Imports:
    """Import both in so many fresh interpreters, one after the other."""
    found = [_once() for _ in range(rounds + 1)][1:]
    torch, camfast = zip(*found, strict=True)
    return Imports(torch, camfast)


def _once() -> tuple[float, float]:
    printed = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True).stdout
    torch, camfast = json.loads(printed)
    return torch, camfast


def _row(name: str, values: tuple[float, ...], target: float | None = None) -> tuple[str, ...]:
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    verdict = "" if target is None else KEPT if median <= target else MISSED
    return name, f"{median:.0f}", f"{low:.0f}–{high:.0f}", "" if target is None else f"≤ {target:g} ms", verdict


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.import_time", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    circumstances = Circumstances.now()
    found = measure()
    rows = (_row("torch", found.torch), _row("camfast, after torch", found.camfast, TARGET))
    figures = [{"torch_ms": found.torch, "camfast_ms": found.camfast}]
    report = Report("import_time", "python -m bench.import_time", circumstances, COLUMNS, rows, figures)
    print(report.markdown())
    if options.json:
        report.write_json(options.json)


if __name__ == "__main__":
    main()
