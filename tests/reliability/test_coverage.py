"""The table of what the tests reach, from coverage's own words."""

import tomllib
from typing import Any

from bench.report import ROOT, Circumstances
from reliability import coverage


def _file(lines: int, reached: int, branches: int, branches_reached: int) -> dict[str, Any]:
    return {
        "summary": {
            "num_statements": lines, "covered_lines": reached,
            "num_branches": branches, "covered_branches": branches_reached,
        },
        "missing_lines": list(range(lines - reached)),
        "missing_branches": [[1, -1]] * (branches - branches_reached),
    }  # fmt: skip


def test_folders_are_added_up() -> None:
    found = {
        "files": {
            "camfast/cam.py": _file(10, 10, 0, 0),
            "camfast/ops/a.py": _file(30, 29, 10, 10),
            "camfast/ops/deep/b.py": _file(60, 60, 10, 9),
        }
    }
    table = coverage.report(found, Circumstances.now())
    assert table.rows == (
        ("camfast", "10", "100.0 %", "0", "100.0 %"),
        ("camfast/ops", "90", "98.9 %", "20", "95.0 %"),
        ("all", "100", "99.0 %", "20", "95.0 %"),
    )
    assert table.measurements[0]["reached"]
    assert len(list(coverage.missing(found))) == 2


def test_branches_alone_are_enough_to_miss() -> None:
    table = coverage.report({"files": {"camfast/ops/a.py": _file(100, 100, 20, 18)}}, Circumstances.now())
    assert not table.measurements[0]["reached"]
    assert "missed" in table.summary
    low = coverage.report({"files": {"camfast/ops/a.py": _file(100, 100, 20, 17)}}, Circumstances.now())
    assert low.measurements[0]["low"] == ["camfast/ops/a.py 85 %"]


def test_what_is_not_counted_is_there() -> None:
    """A name in the list that is no file any more would hide nothing, and nobody would know."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["coverage"]
    assert settings["run"]["branch"]
    for pattern in settings["report"]["omit"]:
        assert list(ROOT.glob(pattern)), pattern
