"""Wrong calls of the binding and of `camfast.ops`.

``python -m reliability.bindings [--cases N] [--seed S] [--write]``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import Circumstances, Report, table
from reliability.bindings.device import KIND, built
from reliability.record import keep

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
"""Seconds that one call may take."""
KINDS = ("camfast._C", KIND, "camfast.ops")


@dataclass
class Found:
    """What came of the calls.

    Attributes
    ----------
    tried
        Calls by kind.
    refused_wrongly
        Calls that were accepted or raised what they must not, with what happened.
    ended
        Calls that ended the process, or kept it busy.
    """

    tried: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)


def search(seed: int, cases: int, command: tuple[str, ...] = ()) -> Found:
    """Make the calls, in as many processes as it takes."""
    found = Found()
    command = command or (sys.executable, "-m", "reliability.bindings.child", str(built()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "calls.jsonl"
        path.touch()
        done = 0
        while done < cases:
            outcome = _run([*command, str(seed), str(done), str(cases), str(path)], path)
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            path.write_text("")
            tried = _take(lines, found)
            if outcome:
                last = lines[-1] if lines and "trying" in lines[-1] else {"kind": KINDS[0], "trying": "(no call)"}
                found.ended.append((last["kind"], f"{last['trying']}: {outcome}"))
            elif tried == 0:
                break
            done += max(tried, 1)
    return found


def _run(command: list[str], path: Path) -> str:
    """Run a process until it ends or stops writing; what went wrong with it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        size, since = 0, time.monotonic()
        while process.poll() is None:
            time.sleep(0.05)
            if path.stat().st_size != size:
                size, since = path.stat().st_size, time.monotonic()
            elif time.monotonic() - since > PATIENCE + (40 if size == 0 else 0):  # torch's import comes first
                process.kill()
                process.wait()
                return f"took more than {PATIENCE:.0f} s"
        assert process.stderr is not None
        text = process.stderr.read().strip().splitlines()
    return "" if process.returncode == 0 else f"ended with status {process.returncode} {' '.join(text[-1:])}"


def _take(lines: list[dict[str, str]], found: Found) -> int:
    calls = [line for line in lines if "trying" in line]
    found.tried.update(line["kind"] for line in calls)
    for call, outcome in zip(calls, (line for line in lines if "wrong" in line), strict=False):
        if outcome["wrong"]:
            found.wrong.append((call["kind"], f"{call['trying']}: {outcome['wrong']}"))
    return len(calls)


def report(found: Found, command: str, circumstances: Circumstances) -> Report:
    """The table of a search."""
    rows = []
    for kind in KINDS:
        crashes, wrong = (sum(of == kind for of, _ in calls) for calls in (found.ended, found.wrong))
        rows.append((kind, f"{found.tried[kind]:,}", str(crashes), str(wrong)))
    return Report(
        "bindings", command, circumstances,
        ("called", "wrong calls", "crashes and calls of over 20 s", "accepted, or refused by another error"),
        tuple(rows),
        [{"kind": kind, "what": text} for kind, text in (*found.ended, *found.wrong)],
        f"{sum(found.tried.values()):,} calls.",
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.bindings", description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="calls (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="keep the result in reliability/results")
    options = parser.parse_args()
    circumstances = Circumstances.now()
    found = search(options.seed, options.cases)
    for _, text in (*found.ended, *found.wrong):
        print(text)
    made = report(found, f"python -m reliability.bindings --cases {options.cases} --seed {options.seed}", circumstances)
    print(f"{table(made.columns, made.rows)}\n\n{made.summary}")
    if options.write:
        print(keep(made))
    return int(bool(found.ended or found.wrong))


if __name__ == "__main__":
    sys.exit(main())
