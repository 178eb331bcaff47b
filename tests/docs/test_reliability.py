"""The page of what was tried: its tables are those of the records, and each campaign has one."""

from pathlib import Path

import pytest

from bench.report import ROOT, Circumstances, Report
from reliability import page
from reliability.record import keep, kept


def _campaigns() -> set[str]:
    """Modules that can be run and keep what they find."""
    mains = {path.parent.name: path for path in (ROOT / "reliability").glob("*/__main__.py")}
    files = {path.stem: path for path in (ROOT / "reliability").glob("*.py")}
    return {name for name, path in (files | mains).items() if "keep(" in path.read_text("utf-8") and name != "record"}


def test_the_page_holds_the_records() -> None:
    text = page.PAGE.read_text("utf-8")
    assert page.written(text) == text, "python -m reliability.page"


def test_each_campaign_is_on_the_page_with_its_record_or_without_one() -> None:
    text = page.PAGE.read_text("utf-8")
    recorded = {record.name for record in kept()}
    for name in _campaigns():
        assert f"python -m reliability.{name}" in text, name
        said = f"<!-- {name} -->\nNo record of the long form yet.\n<!-- /{name} -->" in text
        assert said != (name in recorded), name


def test_each_test_that_the_page_names_is_there() -> None:
    """Every defect that is listed has the test that failed before."""
    tests = "".join(path.read_text("utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))
    tests += "".join(path.read_text("utf-8") for path in sorted((ROOT / "csrc" / "tests").glob("*.cpp")))
    rows = [line for line in page.PAGE.read_text("utf-8").splitlines() if line.startswith("| ") and "`test_" in line]
    assert rows
    for row in rows:
        for name in row.split("`")[1::2]:
            if name.startswith("test_") and not name.endswith(".py"):
                assert f"def {name}(" in tests or f"{name})" in tests or f"{name}," in tests, name


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    report = Report("x", "python -m x", Circumstances.now(), ("a", "b"), (("1", "σ"),), [{"k": [1.5]}], "All.")
    keep(report, tmp_path)
    assert kept(tmp_path) == [report]
    text = "before\n<!-- x -->\nold\n<!-- /x -->\nafter"
    assert page.written(text, tmp_path) == f"before\n<!-- x -->\n{report.markdown()}\n<!-- /x -->\nafter"


def test_a_record_without_a_place_is_an_error(tmp_path: Path) -> None:
    keep(Report("x", "python -m x", Circumstances.now(), ("a",), (("1",),)), tmp_path)
    with pytest.raises(ValueError, match="expected one line <!-- x -->"):
        page.written("nothing", tmp_path)
