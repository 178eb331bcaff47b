"""What a study writes: JSON without NaN, its block of README.md and nothing else, pictures with how they came about."""

import json
import math

import numpy as np
import pytest
import torch

import camfast
from camfast import plot
from studies.common import paths, report

BEFORE = "# Studies\n\n<!-- other -->\nkept\n<!-- /other -->\n\n<!-- example -->\nold\n<!-- /example -->\n\nThe end.\n"


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Folders of this test only, in place of the repository's."""
    readme = tmp_path / "README.md"
    for name in ("RESULTS", "PICTURES", "WORK"):
        monkeypatch.setattr(report, name, tmp_path / name.lower())
    monkeypatch.setattr(report, "README", readme)
    return tmp_path


def test_a_short_run_leaves_the_repository_alone(places, capsys):
    study = report.Study("example", True, {"samples": 3})
    study.measurements["values"] = torch.tensor([1.0, math.nan])
    study.measurements["more"] = {1: (np.float32(0.5), math.inf, True, None, paths.ROOT)}
    study.tables.append(report.Table("Title", ("a", "b"), [("1", "2")], "note"))
    study.picture(plot.overlay(torch.ones(8, 8), torch.eye(8)), "cam", "A map.", layer="fire9")
    study.write()
    found = json.loads((places / "work" / "quick" / "example.json").read_text("utf-8"))
    assert found["measurements"] == {"values": [1.0, None], "more": {"1": [0.5, None, True, None, str(paths.ROOT)]}}
    assert found["command"] == "python -m studies.example --quick"
    about = camfast.read_provenance(places / "work" / "quick" / "example_cam.png")
    assert about == {"command": found["command"], "samples": 3, "layer": "fire9"}
    printed = capsys.readouterr().out
    assert "samples 3" in printed
    assert "![A map.](pictures/example_cam.png)" in printed
    assert sorted(path.name for path in places.iterdir()) == ["work"]


def test_a_full_run_changes_its_own_block_only(places):
    (places / "README.md").write_text(BEFORE, "utf-8")
    study = report.Study("example", False, text=["What came out."])
    study.picture(plot.overlay(torch.ones(8, 8), torch.eye(8)), "cam", "A map.")
    study.write()
    block = f"<!-- example -->\n{study.markdown()}\n<!-- /example -->"
    assert "`python -m studies.example`" in block
    assert "What came out." in block
    assert (places / "README.md").read_text("utf-8") == BEFORE.replace(
        "<!-- example -->\nold\n<!-- /example -->", block
    )
    assert (places / "results" / "example.json").exists()
    assert (places / "pictures" / "example_cam.png").exists()
    assert not (places / "work").exists()


def test_tables_are_markdown():
    lines = report.Table("Title", ("a", "b"), [("1", "2"), ("3", "4")], "note").markdown().splitlines()
    assert lines[0] == "**Title**"
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][::2] == [
        ["a", "b"],
        ["1", "2"],
    ]
    assert lines[-1] == "note"


def test_figures_in_cells():
    values = [1.0, 2.0, math.nan, 4.0]
    assert report.spread(values, 2) == f"{7 / 3:.2f} ± {np.std([1.0, 2.0, 4.0]):.2f}"
    assert report.spread([math.nan, math.nan]) == "undefined"
    assert report.interval(0.123, -1.0, 2.345) == "0.12 [-1.00, 2.35]"


def test_every_study_has_a_short_run():
    parser = report.arguments("What it does.")
    assert parser.parse_args(["--quick"]).quick is True
    assert parser.parse_args([]).quick is False


def test_data_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CAMFAST_DATA", str(tmp_path))
    (tmp_path / "here").mkdir()
    assert paths.data("here") == tmp_path / "here"
    with pytest.raises(SystemExit, match=r"needs .*templates, which isn't there: set CAMFAST_DATA"):
        paths.data("templates")
