"""Each op against its formula in torch and against peers, interleaved: ``python -m bench.ratios``.

Every line is measured twice. First with the allocator as everybody has it: torch gets large temporaries from the system
anew in each call, and pays for their pages. Then in a process whose allocator keeps what it is given back, which tells
how much of a ratio is the kernels' own.
"""

import argparse
import contextlib
import functools
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from bench import targets
from bench.case import CAMFAST, COMPILED, EAGER, FLOOR, Case, Spec
from bench.cases import build, specs
from bench.report import Circumstances, Report
from bench.timing import Comparison, compare, keep_freed_memory, milliseconds, times, trust, until_conclusive

COLUMNS = (
    "op", "method", "size", "camfast ms", "eager ms", "compiled ms", "eager ÷ camfast", "memory kept",
    "compiled ÷ camfast", "peers ÷ camfast", "A/A", "others", "GB/s", "floor GB/s",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ratios", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one small size of each op, shortly, nothing compiled")
    parser.add_argument("--op", help="one op only")
    parser.add_argument("--size", help="sizes whose name holds this only, such as 96³")
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long each line is measured")
    parser.add_argument("--patience", type=float, default=0.0, help="minutes for lines to be repeated in quieter times")
    parser.add_argument("--write", action="store_true", help="put the tables into bench/README.md")
    parser.add_argument("--json", type=Path, help="write every time that was taken to this file")
    options = parser.parse_args()
    if options.write and (options.quick or options.op or options.size):
        parser.error("--write is for all ops and sizes: leave out --quick, --op and --size")

    seconds = 0.3 if options.quick else options.seconds
    deadline = time.monotonic() + 60 * options.patience
    circumstances = Circumstances.now()
    rows, measurements = [], []
    judgements: list[targets.Judgement] = []
    with _memory_keeper() as keeper:
        for spec in specs(options.op, quick=options.quick):
            if options.size and options.size not in spec.extent:
                continue
            case = build(spec)
            measure = functools.partial(
                compare, case.contenders(compiled=not options.quick), check=case.verify, seconds=seconds
            )
            compared = until_conclusive(measure, deadline)
            traffic = case.traffic
            rows.append(row(case, compared, kept := keeper.submit(measure_kept, spec, seconds / 2).result()))
            judgements += targets.judge(spec, compared, kept)
            measurements.append({
                "spec": asdict(spec), "traffic": traffic, **asdict(compared), "memory kept": asdict(kept),
            })  # fmt: skip
            print(spec, *rows[-1][3:], sep="  ", file=sys.stderr, flush=True)
    command = "python -m bench.ratios" + (f" --patience {options.patience:g}" if options.patience else "")
    report = Report("ratios", command, circumstances, COLUMNS, tuple(rows), measurements)
    verdicts = tuple(judgement.cells() for judgement in judgements)
    reached = Report("targets", command, circumstances, targets.COLUMNS, verdicts, summary=targets.summary(judgements))
    for each in (report, reached):
        print(each.markdown(), end="\n\n")
        if options.write:
            each.write_into()
    if options.json:
        report.write_json(options.json)


def row(case: Case, compared: Comparison, kept: Comparison) -> tuple[str, ...]:
    """A line of the table."""
    timings = compared.timings
    return (
        case.spec.op,
        case.spec.variant,
        case.spec.extent,
        *(milliseconds(timings[name]) if name in timings else "–" for name in (CAMFAST, EAGER, COMPILED)),
        times(compared, EAGER, CAMFAST),
        times(kept, EAGER, CAMFAST),
        times(compared, COMPILED, CAMFAST) if COMPILED in timings else "–",
        "; ".join(f"{name} {times(compared, name, CAMFAST)}" for name in case.peers) or "–",
        *trust(compared),
        *(f"{case.traffic / timings[name].median / 1e9:.1f}" for name in (CAMFAST, FLOOR)),
    )


def measure_kept(spec: Spec, seconds: float) -> Comparison:
    """Measure a line, without what is compiled, in the process that this runs in."""
    case = build(spec)
    return compare(case.contenders(compiled=False), check=case.verify, seconds=seconds, rounds=(5, 51))


@contextlib.contextmanager
def _memory_keeper() -> Iterator[ProcessPoolExecutor]:
    """Another process, as an allocator that was told to keep its memory can't be told otherwise again."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=keep_freed_memory) as keeper:
        yield keeper


if __name__ == "__main__":
    main()
