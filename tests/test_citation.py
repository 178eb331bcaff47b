"""How camfast is cited: the version that is released, and the papers that the methods come from."""

from pathlib import Path

import yaml

import camfast

CITATION = yaml.safe_load((Path(__file__).resolve().parents[1] / "CITATION.cff").read_text())


def test_the_version_is_that_of_the_package() -> None:
    assert CITATION["version"] == camfast.__version__


def test_every_paper_says_what_came_from_it() -> None:
    notes = " ".join(paper["notes"] for paper in CITATION["references"])
    for name in ("respond", "extended", "hirescam", "Region", "Attentive response"):
        assert name in notes
    for paper in CITATION["references"]:
        assert paper.get("doi") or paper["identifiers"][0]["value"].startswith("arXiv:")
