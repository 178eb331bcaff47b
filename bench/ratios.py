"""Each op against its formula in torch, eager and compiled, interleaved: ``python -m bench.ratios``."""

import argparse
import functools
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench.cases import CAMFAST, COMPILED, EAGER, FLOOR, Case, specs
from bench.report import Circumstances, Report
from bench.timing import Comparison, compare, keep_freed_memory, milliseconds, times, trust, until_conclusive

COLUMNS = (
    "op", "method", "size", "camfast ms", "eager ms", "compiled ms", "eager ÷ camfast", "compiled ÷ camfast",
    "A/A", "others", "GB/s", "floor GB/s",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ratios", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small size of each op, shortly, nothing compiled")
    parser.add_argument("--op", help="one op only")
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long each line is measured")
    parser.add_argument("--patience", type=float, default=0.0, help="minutes for lines to be repeated in quieter times")
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    parser.add_argument("--json", type=Path, help="write every time that was taken to this file")
    options = parser.parse_args()
    if options.write and (options.quick or options.op):
        parser.error("--write is for all ops and sizes: leave out --quick and --op")

    seconds = 0.3 if options.quick else options.seconds
    deadline = time.monotonic() + 60 * options.patience
    keep_freed_memory()
    circumstances = Circumstances.now()
    rows, measurements = [], []
    for spec in specs(options.op, quick=options.quick):
        case = spec.build()
        measure = functools.partial(
            compare, case.contenders(compiled=not options.quick), check=case.verify, seconds=seconds
        )
        compared = until_conclusive(measure, deadline)
        rows.append(row(case, compared))
        measurements.append({"spec": asdict(spec), "traffic": case.traffic, **asdict(compared)})
        print(spec, *rows[-1][3:], sep="  ", file=sys.stderr, flush=True)
    command = "python -m bench.ratios" + (f" --patience {options.patience:g}" if options.patience else "")
    report = Report("ratios", command, circumstances, COLUMNS, tuple(rows), measurements)
    print(report.markdown())
    if options.write:
        report.write_into()
    if options.json:
        report.write_json(options.json)


def row(case: Case, compared: Comparison) -> tuple[str, ...]:
    """A line of the table."""
    timings = compared.timings
    return (
        case.spec.op,
        case.spec.variant,
        case.spec.extent,
        *(milliseconds(timings[name]) if name in timings else "–" for name in (CAMFAST, EAGER, COMPILED)),
        *(times(compared, name, CAMFAST) if name in timings else "–" for name in (EAGER, COMPILED)),
        *trust(compared),
        *(f"{case.traffic / timings[name].median / 1e9:.1f}" for name in (CAMFAST, FLOOR)),
    )


if __name__ == "__main__":
    main()
