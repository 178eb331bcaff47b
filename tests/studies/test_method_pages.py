"""Blocks of the methods' pages: cut out of studies/README.md, as it stands, and nothing typed."""

import re

import pytest

from studies import method_pages
from studies.common.report import README
from studies.method_pages import BLOCKS, FOLDER, differing, filled, sections

STUDY = """# Studies

<!-- sum_to_score -->
`python -m studies.sum_to_score`, 2026-01-02 03:04 UTC, commit abc. seed 0; more

**Net, SNR 1**

| method | L1 | τ-b | other | y − ΣL |
| --- | ---: | --- | --- | --- |
| gradcam | 1.5 ± 0.1 | 0.2 | | 3.0 |
| respond = xgradcam | 0.5 ± 0.1 | 0.9 | | 0.1 |

A note \\| with a bar.

**Net, SNR 0.1**

| method | L1 | τ-b | other | y − ΣL |
| --- | ---: | --- | --- | --- |
| gradcam | 2.5 ± 0.1 | 0.3 | | 4.0 |
| respond = xgradcam | 0.6 ± 0.1 | 0.8 | | 0.2 |
<!-- /sum_to_score -->
"""


def test_pages_are_as_the_studies_say():
    pages = [page.name for page, _ in differing()]
    assert pages == [], "python -m studies.method_pages writes their blocks"


def test_each_figure_of_a_block_stands_in_the_studies():
    known = README.read_text("utf-8")
    checked = 0
    for page in FOLDER.glob("*.md"):
        for name in BLOCKS:
            for block in re.findall(f"<!-- {name} -->(.*?)<!-- /{name} -->", page.read_text("utf-8"), re.DOTALL):
                figures = re.findall(r"-?\d+\.\d+(?: \[[^\]]+\])?(?: ± \d+\.\d+)?", block)
                assert figures, f"{page.name}: an empty block {name}"
                assert [figure for figure in figures if figure not in known] == []
                checked += len(figures)
    assert checked > 500


def test_a_block_is_read_with_its_tables():
    found = sections(STUDY)["sum_to_score"]
    assert found.origin == "`python -m studies.sum_to_score`, 2026-01-02 03:04 UTC, commit abc"
    assert [shown.title for shown in found.tables] == ["Net, SNR 1", "Net, SNR 0.1"]
    assert found.tables[0].columns == ("method", "L1", "τ-b", "other", "y − ΣL")
    assert found.tables[0].note == "A note \\| with a bar."
    assert found.tables[1].note == ""
    assert found.find("Net, SNR 0").rows[1][0] == "respond = xgradcam"


def test_a_method_has_the_row_that_it_shares():
    block = method_pages.sums(sections(STUDY), "xgradcam")
    assert "[the studies](../../studies/README.md#sum_to_score)" in block
    assert re.findall(r"^\| Net.*", block, re.MULTILINE) == [
        "| Net, SNR 1 | 0.5 ± 0.1 | 0.9 | 0.1 |",
        "| Net, SNR 0.1 | 0.6 ± 0.1 | 0.8 | 0.2 |",
    ]


def test_only_what_stands_between_markers_is_written(tmp_path):
    page = tmp_path / "gradcam.md"
    page.write_text("# Before\n\n<!-- sums -->\nold\n<!-- /sums -->\n\nAfter.\n", "utf-8")
    text = filled(page, sections(STUDY))
    assert text.startswith("# Before\n\n<!-- sums -->\n")
    assert text.endswith("<!-- /sums -->\n\nAfter.\n")
    assert "1.5 ± 0.1" in text
    assert "old" not in text


@pytest.mark.parametrize("check", [True, False])
def test_a_page_that_differs_is_named_and_written_unless_checked(check, tmp_path, monkeypatch, capsys):
    study, page = tmp_path / "README.md", tmp_path / "gradcam.md"
    study.write_text(STUDY, "utf-8")
    page.write_text(before := "<!-- sums -->\n<!-- /sums -->\n", "utf-8")
    for name, value in (("README", study), ("FOLDER", tmp_path), ("ROOT", tmp_path)):
        monkeypatch.setattr(method_pages, name, value)
    monkeypatch.setattr("sys.argv", ["method_pages", *["--check"] * check])
    if check:
        with pytest.raises(SystemExit, match="these pages differ"):
            method_pages.main()
        assert page.read_text("utf-8") == before
    else:
        method_pages.main()
        assert "1.5 ± 0.1" in page.read_text("utf-8")
        assert not differing()
    assert "gradcam.md" in capsys.readouterr().out
