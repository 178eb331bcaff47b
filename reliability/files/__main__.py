"""Read damaged files by the thousand: ``python -m reliability.files [--cases N] [--seed S] [--write]``."""

import argparse
import json
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers are forked, which threads don't survive

from bench.report import Circumstances, Report, table
from reliability.files import campaign
from reliability.files.bombs import BOMBS
from reliability.files.formats import FORMATS
from reliability.record import keep

FEWER = {"pictures": 4}  # what others read, a fraction of the mutants


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.files", description=__doc__)
    parser.add_argument("--cases", type=int, default=5000, help="mutants a format (default 5000)")
    parser.add_argument("--commands", type=int, default=100, help="of them at the command line (default 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=FORMATS, help="this format; may be given again")
    parser.add_argument("--no-bombs", action="store_true")
    parser.add_argument("--processes", type=int, default=1, help="commands a format in a process of their own")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    parser.add_argument("--write", action="store_true", help="keep the record")
    options = parser.parse_args()
    circumstances = Circumstances.now()
    campaign.load_libraries(commanded=options.commands > 0)
    found = []
    for name in options.only or FORMATS:
        cases = options.cases // FEWER.get(name, 1)
        bombs = () if options.no_bombs else BOMBS
        found.append(campaign.tried(name, options.seed, cases, options.commands, bombs, options.processes))
        if not options.json:
            print(" | ".join(campaign.row(found[-1])), f"({found[-1].seconds:.0f} s)", file=sys.stderr, flush=True)
    wrong = [(one.name, *what) for one in found for what in one.wrong]
    measured = [campaign.measured(one) for one in found]
    if options.json:
        print(json.dumps(measured))
        return int(bool(wrong))
    rows = tuple(campaign.row(one) for one in found)
    print(table(campaign.COLUMNS, rows))
    for name, kind, what, outcome in wrong[:50]:
        print(f"\n{name}, {kind} {what}: {outcome['end']}: {outcome['says']}\n{outcome.get('where', '')}")
    mutants, bombs, commands = (
        sum(counter.total() for counter in counters)
        for counters in zip(*((one.mutants, one.bombs, one.commands) for one in found), strict=True)
    )
    summary = (
        f"{mutants:,} mutants of small valid files (seed {options.seed}), {bombs} files that claim or unpack to more "
        f"than they are, and {commands:,} commands: {len(wrong)} wrong. Right is what another parser reads in the same "
        "bytes, or an error that names the file; in 5 s of processor time, and in no more memory than four times the "
        "file or its array and 48 MB."
    )
    print(f"\n{summary}")
    if options.write:
        command = f"python -m reliability.files --cases {options.cases} --seed {options.seed}"
        keep(Report("files", command, circumstances, campaign.COLUMNS, rows, measured, summary))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
