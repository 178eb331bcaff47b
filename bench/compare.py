"""camfast beside its peers on real networks, interleaved: ``python -m bench.compare``.

Every map is checked before anything is timed. Times are ratios to the plain forward pass, taken in turns in one
process, with the allocator as everybody has it; peak memory is that of a process of its own for each contender; all
classes of one input are explained from one pass by whoever can. ``--gpu`` measures on a GPU instead.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench import compare_gpu
from bench import compare_tables as tables
from bench.compare_findings import ALL_CLASSES, MEMORY_BATCH, Findings, classes_of, memory_of, times_of
from bench.contenders import CELLS, Cell
from bench.jobs import CannotError
from bench.networks import named
from bench.peers import HOW_TO_INSTALL, PEERS
from bench.report import README, ROOT, Circumstances, replace_block

# The short form: cells, how they are timed, and the peers for all classes, where the others take seconds a call.
QUICK = (("CNN-1", 1), ("ResNet-20", 64))
QUICK_ROUNDS: dict[str, Any] = {"rounds": (3, 3), "long": 0.0}
QUICK_CLASSES: dict[str, Any] = {"rounds": (3, 3), "peers": [peer for peer in PEERS if peer.name == "torchcam"]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two networks, shortly")
    parser.add_argument("--gpu", action="store_true", help="on a GPU, for about --limit seconds; its file in --results")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for --gpu")
    parser.add_argument("--results", type=Path, default=compare_gpu.FOLDER, help="folder for --gpu")
    parser.add_argument("--networks", metavar="NAME", nargs="+", help="these only, such as resnet50")
    parser.add_argument("--seconds", type=float, default=25.0, help="about how long each line is measured")
    parser.add_argument("--patience", type=float, default=0.0, help="minutes for lines to be repeated in quieter times")
    parser.add_argument("--write", action="store_true", help="put the tables into bench/README.md and README.md")
    parser.add_argument("--json", type=Path, help="write every time that was taken to this file")
    options = parser.parse_args()
    if options.write and (options.quick or options.networks or options.gpu):
        parser.error("--write is for the full measurement: leave out --quick, --networks and --gpu")
    if options.gpu:
        sys.exit(compare_gpu.main(options.limit, options.results))
    try:
        cells = chosen(options.networks, quick=options.quick)
        if options.write:
            _check_blocks()
    except ValueError as error:
        parser.error(str(error))
    for peer in PEERS:
        if peer.version is None:
            print(f"{peer.name} is not installed and left out: {HOW_TO_INSTALL}", file=sys.stderr)
    findings = Findings(_command(options), Circumstances.now())
    measure(findings, cells, options.seconds, 60 * options.patience, quick=options.quick, path=options.json)
    for report in tables.reports(findings):
        print(report.markdown(), end="\n\n")
        if options.write:
            report.write_into(README)
    if options.write:
        tables.short(findings).write_into(ROOT / "README.md")


def chosen(names: list[str] | None, *, quick: bool = False) -> tuple[Cell, ...]:
    """The cells of the networks that are named, or of the short form, or all.

    Raises
    ------
    ValueError
        If there is no such network.
    """
    networks = [named(name) for name in names or ()]
    if networks:
        return tuple(cell for cell in CELLS if cell.network in networks)
    return tuple(cell for cell in CELLS if not quick or (cell.network.name, cell.batch) in QUICK)


def measure(
    findings: Findings,
    cells: tuple[Cell, ...],
    seconds: float,
    patience: float,
    *,
    quick: bool = False,
    path: Path | None = None,
) -> None:
    """Measure cell by cell; what there is so far is kept in a file, if one is named."""
    deadline = time.monotonic() + patience
    for cell in cells:
        try:
            found = times_of(cell, seconds, deadline, **(QUICK_ROUNDS if quick else {}))
        except CannotError as error:
            findings.left_out.append(f"{cell.name}, batch {cell.batch}: {error}")
            print(findings.left_out[-1], file=sys.stderr)
            continue
        findings.times[cell] = found
        _say(tables.time_row(cell, found))
        if cell.batch >= MEMORY_BATCH:
            peaks = memory_of(cell, peers=(), processes={}) if quick else memory_of(cell)
            findings.memory[cell] = peaks
            _say(tables.memory_row(cell, peaks))
        _keep(findings, path)
    if ALL_CLASSES in cells:
        findings.classes = classes_of(ALL_CLASSES, seconds, deadline, **(QUICK_CLASSES if quick else {}))
        _keep(findings, path)


def _check_blocks() -> None:
    """Raise ValueError now, and not when all is measured, where a page has no place for a table."""
    for name in tables.BLOCKS:
        replace_block(README.read_text("utf-8"), name, "")
    replace_block((ROOT / "README.md").read_text("utf-8"), tables.SHORT_BLOCK, "")


def _keep(findings: Findings, path: Path | None) -> None:
    if path is not None:
        path.write_text(json.dumps(findings.content(), indent=1, ensure_ascii=False) + "\n", "utf-8")


def _say(row: tuple[str, ...]) -> None:
    print(*row, sep="  ", file=sys.stderr, flush=True)


def _command(options: argparse.Namespace) -> str:
    """What measures the same again."""
    parts = ["python -m bench.compare"]
    if options.quick:
        parts.append("--quick")
    if options.networks:
        parts.append(f"--networks {' '.join(options.networks)}")
    if options.seconds != 25.0:
        parts.append(f"--seconds {options.seconds:g}")
    if options.patience:
        parts.append(f"--patience {options.patience:g}")
    return " ".join(parts)


if __name__ == "__main__":
    main()
