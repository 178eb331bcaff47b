"""Try random networks: ``python -m reliability.models [--cases N] [--seed S] [--write]``."""

import argparse
import sys
import time

import torch

from bench.report import table
from reliability.models.campaign import report, run_all
from reliability.record import keep

CASES = 200


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.models", description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES, help=f"how many networks; {CASES}")
    parser.add_argument("--seed", type=int, default=0, help="the first network's seed; the others follow it")
    parser.add_argument("--write", action="store_true", help="keep the table in reliability/results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    tried, start = [], time.monotonic()
    for one in run_all(given.cases, given.seed):
        tried.append(one)
        for bad in one.wrong:
            print(f"seed {one.drawn.seed} ({', '.join(one.drawn.parts)}), {bad.what}: {bad.detail}", file=sys.stderr)
    made = report(tried, f"python -m reliability.models --cases {given.cases} --seed {given.seed}")
    print(f"{table(made.columns, made.rows)}\n\n{made.summary}\n{time.monotonic() - start:.0f} s")
    if given.write:
        keep(made)
    return int(any(one.wrong for one in tried))


if __name__ == "__main__":
    sys.exit(main())
