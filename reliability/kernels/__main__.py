"""Hostile calls of every op on every backend that runs here.

``python -m reliability.kernels [--cases N] [--seed S] [--machines M ...] [--write]``; N calls of each op on each
machine, and a quarter of that by several threads, in Triton's interpreter and on the emulated CUDA device. Each machine
has a process of its own, since the instruction set and the interpreter are chosen at import; a process that dies is
counted as a defect.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from bench.report import Circumstances, Report, table
from reliability.kernels import campaign, machines
from reliability.record import keep

ROOT = Path(__file__).resolve().parents[2]


def searched(machine: str, cases: int, seed: int) -> list[campaign.Outcome]:
    """Run the calls of a machine in a process."""
    command = [
        sys.executable,
        "-m",
        "reliability.kernels",
        "--inside",
        machine,
        "--cases",
        str(cases),
        "--seed",
        str(seed),
    ]
    done = subprocess.run(command, cwd=ROOT, env=machines.environment(machine), capture_output=True, text=True)
    found = [campaign.Outcome(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode != 0:
        why = f"the process ended with status {done.returncode}: {done.stderr.strip()[-400:]}"
        found.append(campaign.Outcome("(process)", machine, wrong=[why]))
    return found


def inside(machine: str, cases: int, seed: int) -> None:
    """Run the calls here, and print what came of each op."""
    room = campaign.INTERPRETED_ROOM if machine == "triton" else campaign.ROOM
    with machines.machine(machine) as backend:
        for op in campaign.PROPERTIES:
            if (machine, op) in machines.WITHOUT:
                continue
            outcome = campaign.run(op, backend, cases, seed, room)
            outcome.backend = machine
            print(json.dumps(asdict(outcome)), flush=True)
            if backend == "cpu":
                teams = campaign.run(op, backend, max(cases // 4, 1), seed, campaign.THREADED_ROOM, campaign.TEAMS)
                teams.op, teams.backend = f"{op}, by 1, 2 and 7 threads", machine
                print(json.dumps(asdict(teams)), flush=True)


def reported(found: list[campaign.Outcome], command: str, circumstances: Circumstances) -> Report:
    """The table: a row for each op, a column for each machine."""
    machines = list(dict.fromkeys(one.backend for one in found))
    rows = []
    for op in dict.fromkeys(one.op for one in found):
        own = {one.backend: one for one in found if one.op == op}
        calls = (f"{own[machine].cases:,}" if machine in own else "–" for machine in machines)
        rows.append((op, *calls, str(sum(len(one.wrong) for one in own.values()))))
    total = sum(one.cases for one in found)
    return Report(
        "kernels", command, circumstances, ("calls of", *machines, "found wrong"), tuple(rows),
        [asdict(one) for one in found], f"{total:,} calls, {sum(len(one.wrong) for one in found)} defects.",
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.kernels", description=__doc__)
    parser.add_argument(
        "--cases", type=int, default=150, help="calls of each op on each machine (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: %(default)s)")
    parser.add_argument("--machines", nargs="+", help="cpu:<set>, torch, cuda or triton (default: all that run here)")
    parser.add_argument("--write", action="store_true", help="keep the result in reliability/results")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.inside, options.cases, options.seed)
        return 0
    circumstances = Circumstances.now()
    found: list[campaign.Outcome] = []
    for machine in options.machines or [
        *(f"cpu:{isa}" for isa in machines.instruction_sets()),
        "torch",
        "cuda",
        "triton",
    ]:
        cases = max(options.cases // 4, 1) if machine in ("triton", "cuda") else options.cases
        found += searched(machine, cases, options.seed)
        print(f"{machine}: {sum(one.cases for one in found if one.backend == machine)} calls", flush=True)
    for one in found:
        for wrong in one.wrong:
            print(f"{one.op} on {one.backend}: {wrong}")
    made = reported(
        found, f"python -m reliability.kernels --cases {options.cases} --seed {options.seed}", circumstances
    )
    print(f"{table(made.columns, made.rows)}\n\n{made.summary}")
    if options.write:
        print(keep(made))
    return int(any(one.wrong for one in found))


if __name__ == "__main__":
    sys.exit(main())
