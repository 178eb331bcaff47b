"""Put every campaign's table into ``docs/reliability.md``: ``python -m reliability.page [--check]``."""

import argparse
import sys
from pathlib import Path

from bench.report import replace_block
from reliability.record import RESULTS, kept

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reliability.md"


def written(text: str, folder: Path = RESULTS) -> str:
    """The page with the records of a folder in their blocks."""
    for report in kept(folder):
        text = replace_block(text, report.name, report.markdown())
    return text


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the page holds what the records hold")
    only_check = parser.parse_args().check
    before = PAGE.read_text("utf-8")
    after = written(before)
    if only_check:
        if before != after:
            print(f"{PAGE.name} differs from the records: python -m reliability.page", file=sys.stderr)
        return int(before != after)
    PAGE.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
