"""The checks before a release: each is a target of the Makefile, and the last run of each is kept."""

import sys
from pathlib import Path

import pytest

from bench.report import ROOT
from reliability import release
from reliability.record import keep


def test_each_part_is_a_target() -> None:
    lines = (ROOT / "Makefile").read_text("utf-8").splitlines()
    targets = {line.split(":")[0] for line in lines if ":" in line}
    assert set(release.PARTS) <= targets


@pytest.mark.parametrize(("code", "ended"), [(0, "passed"), (3, "failed, 3")])
def test_a_part_ends_as_it_ends(code: int, ended: str) -> None:
    row = release.run("a", [sys.executable, "-c", f"raise SystemExit({code})"])
    assert row[0] == "`make a`"
    assert row[-1] == ended
    assert len(row) == len(release.COLUMNS)


def test_the_newest_run_of_each_is_kept(tmp_path: Path) -> None:
    old, new, other = (("`make a`", "old"), ("`make a`", "new"), ("`make b`", "old"))
    keep(release.together([old, other], tmp_path, ("a", "b", "c")), tmp_path)
    found = release.together([new], tmp_path, ("a", "b", "c"))
    assert found.rows == (new, other)
    assert found.summary == "Not run yet: `make c`."


def test_one_that_fails_does_not_keep_others_from_being_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = {"slow": "failed, 2", "audit": "passed"}
    monkeypatch.setattr(release, "run", lambda part, _: (f"`make {part}`", "", "", "0.1", ended[part]))
    assert release.main(["slow", "audit"]) == 1
    assert "| `make audit` |" in capsys.readouterr().out
    assert release.main(["audit"]) == 0


def test_a_part_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        release.main(["everything"])
    assert "no part is called everything; there are sanitize, " in capsys.readouterr().err
