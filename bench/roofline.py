"""Each op on a GPU, against the bandwidth that this GPU has: ``python -m bench.roofline``.

Copy, read and write bandwidth are measured first. Then each op by each backend, in turns with the formula of the
reference, eager and compiled, on inputs that no cache holds: results are checked first, times are those of CUDA events,
medians over rounds. It writes ``<gpu>.json`` after every line, so that a run which is cut short keeps what it has, and
exits with 1 where something failed. ``python -m bench.gpu_page`` puts the results into bench/README.md.
"""

import argparse
import dataclasses
import functools
import gc
import json
import math
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bench import gpu_targets
from bench.case import CAMFAST, COMPILED, EAGER, Case, Spec
from bench.cases import build
from bench.gpu import Gpu, in_turns
from bench.gpu_targets import COPY, GRAPH, LAUNCHES, SMALL, SPECS, WRITE
from bench.report import table
from bench.timing import Comparison, Contender, Timing, compare
from camfast.ops import backends

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    "op", "method", "size", "dtype", "cuda µs", "triton µs", "eager µs", "compiled µs", "GB/s", "of copy", "of write",
    "eager ÷ best", "compiled ÷ best", "launches", "graph µs", "graph µs, cached", "A/A",
)  # fmt: skip
# Input sets together are so many times the cache, and at most so many.
_COLD, _SETS = 4, 16
# Seconds at the end in which nothing is compiled any more.
_RESERVE = 60.0


class Roofline:
    """The measurements of one run."""

    def __init__(self, gpu: Gpu, deadline: float, seconds: float = 0.6) -> None:
        self.gpu, self.deadline, self.seconds = gpu, deadline, seconds
        self.circumstances = gpu.circumstances()
        self.bandwidths = gpu.bandwidths()
        self.figures: dict[Spec, dict[str, float]] = {}
        self.lines: list[dict[str, Any]] = []
        self.rows: list[tuple[str, ...]] = []
        self.errors: list[str] = []

    def measure(self, spec: Spec) -> None:
        """Measure a line; what fails is written down, and the rest goes on."""
        if time.monotonic() > self.deadline:
            self.errors.append(f"{spec}: not measured, the time was up")
            return
        try:
            fitted = self._fitted(spec)
            first = build(fitted, self.gpu.device)
            count = min(_SETS, math.ceil(_COLD * self.gpu.cache / first.traffic))
            self._line(spec, [first, *(build(fitted, self.gpu.device, seed) for seed in range(1, count))])
        except Exception as error:
            self._fail(f"{spec}", error)
        gc.collect()

    def _line(self, spec: Spec, cases: list[Case]) -> None:
        """Time who is right, then find the better backend."""
        contenders = self._right_ones(spec, cases)
        names = [name for name in self.gpu.backends if name in contenders]
        if not names:
            return
        small = spec in SMALL
        compared = compare(
            contenders,
            check=lambda _name, _result: None,  # done
            seconds=self.seconds,
            stopwatch=self.gpu.time_with_launches if small else self.gpu.time,
        )
        best = min(names, key=lambda name: compared.timings[name].median)
        rate = cases[0].traffic / compared.timings[best].median
        found = {COPY: rate / self.bandwidths["copy"], WRITE: rate / self.bandwidths["write"]}
        found |= {name: compared.ratio(name, best).median for name in (EAGER, COMPILED) if name in contenders}
        line: dict[str, Any] = {
            "op": spec.op, "method": spec.variant, "size": cases[0].spec.extent, "dtype": spec.dtype, "best": best,
            "traffic": cases[0].traffic, "input sets": len(cases), "with launches": small,
            "A/A": compared.control_ratio,
            "times": {name: _spread(timing) for name, timing in compared.timings.items()},
        }  # fmt: skip
        if small:
            found |= self._calls(best, cases, line)
        line |= {"figures": found}
        self.figures[spec] = found
        self.lines.append(line)
        self.rows.append(self._row(spec, cases[0], compared, found, line))
        print(*self.rows[-1], sep="  ", file=sys.stderr, flush=True)

    def _right_ones(self, spec: Spec, cases: list[Case]) -> dict[str, Contender]:
        """Contenders whose results are right, the backends first."""
        first = cases[0]
        ways: dict[str, Callable[[Case], Contender]] = {
            name: lambda case, name=name: functools.partial(case.run, name)  # type: ignore[misc]
            for name in self.gpu.backends
            if backends(spec.op, self.gpu.device)[name] == "ok"
        }
        for name in set(self.gpu.backends) - ways.keys():
            self.errors.append(f"{spec}, {name}: {backends(spec.op, self.gpu.device)[name]}")
        ways[EAGER] = lambda case: functools.partial(case.formula, *case.arguments)
        covered = any(target.covers(spec) and target.figure == COMPILED for target in gpu_targets.TARGETS)
        if covered and time.monotonic() < self.deadline - _RESERVE:
            torch.compiler.reset()
            function = torch.compile(first.formula, dynamic=False, fullgraph=True)
            ways[COMPILED] = lambda case: functools.partial(function, *case.arguments)
        right = {}
        for name, way in ways.items():
            try:
                first.verify(CAMFAST if name in self.gpu.backends else name, way(first)())
                right[name] = in_turns([way(case) for case in cases])
            except Exception as error:
                self._fail(f"{spec}, {name}", error)
        return right

    def _calls(self, best: str, cases: list[Case], line: dict[str, Any]) -> dict[str, float]:
        """How many launches a call of the better backend makes, and what it takes in a graph."""
        found = {}
        calls = [functools.partial(case.run, best) for case in cases]
        launched = self.gpu.launches(calls[0])
        if launched is not None:
            found[LAUNCHES] = float(len(launched))
            line["launched"] = launched
        for name, replayed in ((GRAPH, calls), ("cached", calls[:1])):
            replay = self.gpu.graph(replayed)
            if replay is not None:
                timing = Timing(tuple(self.gpu.time(replay, 50) for _ in range(15)), 50)
                found[name] = timing.median * 1e6
                line[f"graph, {name}"] = _spread(timing)
        return found

    def _fitted(self, spec: Spec) -> Spec:
        """As many samples as a GPU of less memory has room for, with the formula's temporaries."""
        if spec.to is not None or len(spec.size) < 5:
            return spec
        one = math.prod(spec.size[1:]) * 4
        samples = max(1, min(spec.size[0], self.gpu.free_memory() // (10 * one)))
        return dataclasses.replace(spec, size=(samples, *spec.size[1:]))

    def _row(
        self, spec: Spec, case: Case, compared: Comparison, found: Mapping[str, float], line: Mapping[str, Any]
    ) -> tuple[str, ...]:
        def microseconds(name: str) -> str:
            return f"{compared.timings[name].median * 1e6:.1f}" if name in compared.timings else "–"

        def shown(name: str, form: str = "{:.2f}") -> str:
            return form.format(found[name]) if name in found else "–"

        rate = case.traffic / compared.timings[line["best"]].median / 1e9
        small = spec in SMALL  # whose data stays in caches, and whose time is not that of bytes
        return (
            spec.op, spec.variant, case.spec.extent, spec.dtype,
            *map(microseconds, (*self.gpu.backends, EAGER, COMPILED)),
            f"{rate:.0f}", *("–" if small else shown(name, "{:.0%}") for name in (COPY, WRITE)),
            shown(EAGER), shown(COMPILED), shown(LAUNCHES, "{:.0f}"), shown(GRAPH, "{:.1f}"), shown("cached", "{:.1f}"),
            f"{compared.control_ratio:.2f}",
        )  # fmt: skip

    def _fail(self, what: str, error: Exception) -> None:
        self.errors.append(f"{what}: {type(error).__name__}: {error}")
        traceback.print_exception(error)

    def preference(self) -> dict[str, str]:
        """For each op that both backends ran the one whose times are smaller, in the geometric mean of its lines."""
        ratios: dict[str, list[float]] = {}
        for line in self.lines:
            first, second = (line["times"].get(name) for name in ("cuda", "triton"))
            if first and second:
                ratios.setdefault(line["op"], []).append(first["median µs"] / second["median µs"])
        return {op: "cuda" if statistics.geometric_mean(found) <= 1 else "triton" for op, found in ratios.items()}

    def dispatched(self) -> list[str]:
        """Where the dispatcher takes the slower backend: what `bench.preference` would change."""
        wrong = []
        for op, better in self.preference().items():
            first = next((name for name, text in backends(op, self.gpu.device).items() if text == "ok"), None)
            if first != better:
                wrong.append(f"{op}: {first} runs, {better} is faster: python -m bench.preference")
        return wrong

    def content(self) -> dict[str, Any]:
        """What the file holds."""
        return {
            **self.circumstances,
            "bandwidths GB/s": {name: round(value / 1e9, 1) for name, value in self.bandwidths.items()},
            "columns": COLUMNS,
            "rows": self.rows,
            "targets": list(gpu_targets.judge(self.figures)),
            "preference": self.preference(),
            "dispatch to be changed": self.dispatched(),
            "errors": self.errors,
            "lines": self.lines,
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.roofline", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for <gpu>.json (default bench/results)")
    parser.add_argument("--limit", type=float, default=225.0, help="seconds after which no line is begun (default 225)")
    parser.add_argument("--op", help="one op only; nothing is written")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("bench.roofline needs a CUDA device, and torch finds none: nothing was measured")
    run = Roofline(Gpu(), time.monotonic() + options.limit)
    for spec in SPECS:
        if options.op in (None, spec.op):
            run.measure(spec)
            if options.op is None:
                write(run, options.results)
    show(run)
    sys.exit(1 if run.errors else 0)


def write(run: Roofline, folder: Path) -> Path:
    """Write what there is so far, as one step."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.circumstances['gpu'].replace(' ', '_').replace('/', '_')}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(run.content(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    part.replace(path)
    return path


def show(run: Roofline) -> None:
    """Print the tables."""
    content = run.content()
    print(", ".join(f"{name} {value}" for name, value in run.circumstances.items()))
    print(", ".join(f"{name} {value} GB/s" for name, value in content["bandwidths GB/s"].items()), end="\n\n")
    print(table(COLUMNS, run.rows), end="\n\n")
    print(table(gpu_targets.COLUMNS, content["targets"]), end="\n\n")
    for line in (*content["dispatch to be changed"], *run.errors):
        print(line)


def _spread(timing: Timing) -> dict[str, Any]:
    """Median and quartiles, in microseconds."""
    low, median, high = (value * 1e6 for value in statistics.quantiles(timing.seconds, n=4, method="inclusive"))
    return {"median µs": median, "low µs": low, "high µs": high, "rounds": len(timing.seconds), "calls": timing.calls}


if __name__ == "__main__":
    main()
