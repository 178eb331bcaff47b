"""200 connections from this machine: ``python -m reliability.connections [--cases N] [--seconds S] [--write]``.

A sixth each read, never read, guess the token, flood, dawdle and babble, and connect again when they are sent away.
"""

import argparse
import sys

from bench.report import Circumstances, Report, table
from camfast.live.serving import client, lines
from reliability.connections.attackers import KINDS
from reliability.connections.campaign import COLUMNS, rows, run
from reliability.record import keep


def shared(connections: int) -> dict[str, int]:
    """How many of each kind."""
    kinds = list(KINDS)
    return {kind: (connections + number) // len(kinds) for number, kind in enumerate(kinds)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.connections", description=__doc__)
    parser.add_argument("--cases", type=int, default=200, help="connections (200)")
    parser.add_argument("--seconds", type=float, default=120.0, help="of the load (120)")
    parser.add_argument("--write", action="store_true", help="keep the table in reliability/results")
    options = parser.parse_args()
    circumstances = Circumstances.now()
    found = run(shared(options.cases), options.seconds, lifetime=lines.LIFETIME, too_slow=client.TOO_SLOW)
    faults = found.faults()
    seen = "; ".join(f"{what}: {count:,}" for what, count in found.seen.items())
    summary = f"{options.cases} at once, of which each connects again when it is sent away; {seen}. " + (
        f"Wrong: {'; '.join(faults)}." if faults else "Nothing was wrong."
    )
    print(table(COLUMNS, rows(found)), summary, sep="\n\n")
    if options.write:
        keep(
            Report(
                "connections",
                "python -m reliability.connections",
                circumstances,
                COLUMNS,
                tuple(rows(found)),
                [{"seen": found.seen, "faults": faults}],
                summary,
            )
        )
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
