"""Do the tests notice small changes? A seeded sample of mutants of the modules that choose, plan and check.

``python -m reliability.mutation [--mutants 300] [--seed 0] [--write]`` changes one place at a time and runs the tests
that are about that module; a change that they pass is a survivor, shown as the lines that differ. Exit status 1 where
fewer than 85 % are killed. Changes that no caller could see stand in ``equivalent_mutants.txt``, each with its reason,
and are left out before anything is drawn. ``docs/decisions/mutation-testing.md`` says why it is made this way.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reliability.mutation_mutants import ROOT, Mutant, mutants_of, sample
from reliability.mutation_running import Outcome, Warm

EQUIVALENT = Path(__file__).parent / "equivalent_mutants.txt"
ENOUGH = 0.85


@dataclass(frozen=True)
class Module:
    """A module that is changed: its file, the tests about it, and which functions are changed; empty: all of it."""

    file: str
    tests: tuple[str, ...]
    within: tuple[str, ...] = ()


# quick ones: what ops refuse, and what they take
_OPS = (
    "tests/ops/test_checks.py",
    "tests/ops/test_outputs.py",
    "tests/ops/test_transforms.py",
    "tests/ops/test_refusals.py",
    "tests/ops/test_plans.py::test_what_is_wrong_is_seen_after_a_call_that_was_right",
    "tests/ops/test_plans.py::test_one_tensor_for_two",
    "tests/ops/test_channel_weights.py::test_a_method_without_weights_is_refused",
    "tests/ops/test_gaussian_upsample.py::test_errors_name_the_argument",
    "tests/ops/test_linear_upsample.py::test_errors_name_what_does_not_fit",
    "tests/ops/test_overlay.py::test_errors_name_the_argument",
    "tests/ops/test_overlay.py::test_into_a_slice_and_empty_batches",
    "tests/ops/test_product_sum.py::test_an_unknown_rectification_is_refused",
    "tests/ops/test_running_max.py::test_errors_name_the_argument",
    "tests/ops/test_running_max.py::test_outputs_that_overlap_are_refused",
    "tests/ops/test_weighted_sum.py::test_errors_name_the_weights",
    "tests/ops/test_window_sum.py::test_what_does_not_fit_is_refused",
    "tests/ops/test_window_sum.py::test_an_output_that_overlaps_is_refused",
    "tests/ops/test_window_sum.py::test_nothing_to_add",
)


def _op(name: str) -> Module:
    return Module(f"camfast/ops/{name}.py", _OPS, ("_check",))


MODULES = (
    Module("camfast/methods.py", ("tests/test_methods.py", "tests/test_linear_head.py")),
    Module("camfast/targets.py", ("tests/test_targets.py", "tests/test_units.py", "tests/test_linear_head.py")),
    Module("camfast/regions.py", ("tests/test_regions_refused.py", "tests/test_regions.py")),
    Module("camfast/scan/windows/plan.py", ("tests/scan/test_plan.py",)),
    Module("camfast/scan/windows/lattice.py", ("tests/scan/test_lattice.py",)),
    Module("camfast/ops/checks.py", _OPS),
    *map(
        _op,
        (
            "channel_weights", "fused_cam", "gaussian_upsample", "linear_upsample", "overlay", "product_sum",
            "registry", "running_max", "weighted_sum", "window_sum",
        ),
    ),
)  # fmt: skip


def equivalent(path: Path = EQUIVALENT) -> dict[str, str]:
    """Names of mutants that nobody could notice, each with the reason, which stands in the line above."""
    lines = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    found: dict[str, str] = {}
    reason = ""
    for line in lines:
        if line.startswith("#"):
            reason = line.removeprefix("#").strip()
        else:
            found[line] = reason
    return found


def all_mutants(modules: Iterable[Module] = MODULES, root: Path = ROOT) -> list[Mutant]:
    """Every mutant of every module but for the equivalent ones."""
    known = equivalent()
    made = [mutant for module in modules for mutant in mutants_of(module.file, root, module.within)]
    return [mutant for mutant in made if mutant.name not in known]


def tried(
    mutants: Sequence[Mutant], modules: Sequence[Module], warm: Warm, jobs: int = 1
) -> Iterator[tuple[Mutant, Outcome]]:
    """Run each mutant's tests, some at a time, after they have passed without a change."""
    tests = {module.file: module.tests for module in modules}
    for some in dict.fromkeys(tests[mutant.module] for mutant in mutants):
        warm.check(some)
    with ThreadPoolExecutor(jobs) as pool:  # threads that wait for processes
        yield from zip(
            mutants, pool.map(lambda one: warm.run(one.module, one.source, tests[one.module]), mutants), strict=True
        )


def shown(mutant: Mutant) -> str:
    """A mutant as the lines that differ."""
    return f"{mutant.module}:{mutant.line} {mutant.where}\n  - {mutant.before}\n  + {mutant.after}"


def counted(outcomes: Sequence[tuple[Mutant, Outcome]], made: Mapping[str, int]) -> list[tuple[str, ...]]:
    """The rows of the table: each module's mutants, those tried, and what became of them."""
    groups: dict[str, Counter[str]] = {}
    for mutant, outcome in outcomes:
        groups.setdefault(mutant.module, Counter())[outcome.verdict] += 1
    rows = [_row(f"`{module}`", made[module], verdicts) for module, verdicts in groups.items()]
    return [*rows, _row("all", sum(made.values()), sum(groups.values(), Counter()))]


def _row(name: str, made: int, verdicts: Counter[str]) -> tuple[str, ...]:
    count = verdicts.total()
    share = 1 - verdicts["survived"] / count
    numbers = (made, count, verdicts["killed"], verdicts["timed out"], verdicts["survived"])
    return (name, *map(str, numbers), f"{100 * share:.1f} %")


COLUMNS = ("module", "mutants", "tried", "killed", "timed out", "survived", "share killed")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.mutation", description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=300, help="how many are tried, from each module in proportion")
    parser.add_argument("--seed", type=int, default=0, help="which")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--only", default="", help="those of which the name holds this, all of them")
    parser.add_argument("--write", action="store_true", help="keep the table for docs/reliability.md")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    begin = time.monotonic()
    mutants = all_mutants()
    made = Counter(mutant.module for mutant in mutants)
    chosen = sample(mutants, arguments.mutants, arguments.seed)
    if arguments.only:
        chosen = [mutant for mutant in mutants if arguments.only in mutant.name]
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for mutant, outcome in tried(chosen, MODULES, Warm(ROOT, Path(folder)), arguments.jobs):
            outcomes.append((mutant, outcome))
            if outcome.verdict != "killed":
                print(f"{outcome.verdict}: {shown(mutant)}", flush=True)
    rows = counted(outcomes, made)
    for row in (COLUMNS, *rows):
        print(f"{row[0]:34}" + "".join(f"{cell:>10}" for cell in row[1:-1]) + f"{row[-1]:>15}")
    print(f"{time.monotonic() - begin:.0f} s")
    survived = [mutant for mutant, outcome in outcomes if outcome.verdict == "survived"]
    if arguments.write:
        _write(arguments, rows, survived)
    return int(len(survived) > (1 - ENOUGH) * len(outcomes))


def _write(arguments: argparse.Namespace, rows: Sequence[tuple[str, ...]], survived: Sequence[Mutant]) -> None:
    # not before: what runs the tests must not have imported camfast
    from bench.report import Circumstances, Report
    from reliability.record import keep

    known = len(equivalent())
    report = Report(
        "mutation",
        f"python -m reliability.mutation --mutants {arguments.mutants} --seed {arguments.seed} --write",
        Circumstances.now(),
        COLUMNS,
        tuple(rows),
        [{"survived": mutant.name} for mutant in survived],
        f"{known} further mutants are equivalent, each for a reason that `reliability/equivalent_mutants.txt` gives.",
    )
    keep(report)


if __name__ == "__main__":
    sys.exit(main())
