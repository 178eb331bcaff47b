"""Names that come with files: none reaches a terminal as a command, or leads an output to another folder."""

import logging

import pytest

from camfast import cli
from camfast.cli import live

CONTROL = "ball\x1b]0;evil\x07\x1b[2J\x9b2J\r\x00"


@pytest.fixture
def listed(tomogram, tmp_path):
    """A list of RELION that gives the tomogram a name."""

    def write(name):
        path = tmp_path / "tomograms.star"
        word = f'"{name}"' if "'" in name or " " in name else f"'{name}'"
        columns = "data_\nloop_\n_rlnTomoName\n_rlnTomoReconstructedTomogram\n"
        path.write_text(f"{columns}{word} {tomogram}\n")
        return path

    return write


@pytest.mark.parametrize("name", ["../evil", "/evil", "in/evil", "..\\evil", "../../../../tmp/evil", " /evil"])
def test_a_name_of_a_list_leads_no_output_elsewhere(refused, command, listed, tmp_path, name):
    path = listed(name)
    (tmp_path / "cams" / "in").mkdir(parents=True)
    said = refused(*command(tomograms=(path,), out=tmp_path / "cams" / "{name}.mrc"))
    assert "would lie elsewhere" in said


def test_a_list_may_name_files_anywhere_and_the_output_is_the_callers(camfast, command, listed, tmp_path):
    path = listed("in/TS 1")
    assert camfast(*command("--quiet", "--dry-run", tomograms=(path,))).code == 0
    assert camfast(*command("--quiet", "--dry-run", tomograms=(listed("TS 1"),), out=tmp_path / "{name}.mrc")).code == 0


def test_control_characters_are_spelled(camfast, command, tomogram, tmp_path, capsys):
    strange = tmp_path / "to\x1b[2J\x9b2Jmo.mrc"
    tomogram.rename(strange)
    ran = camfast(*command("--dry-run", tomograms=(strange,)))
    assert ran.code == 0
    assert r"to\x1b[2J\x9b2Jmo.mrc" in ran.out
    failed = camfast(*command(tomograms=(tmp_path / f"{CONTROL[:-1]}.mrc",)))
    assert r"ball\x1b]0;evil\x07\x1b[2J\x9b2J" in failed.err
    cli._show_warning(CONTROL)
    record = logging.LogRecord("camfast.live", logging.INFO, "", 0, "%s: gone", (CONTROL,), None)
    warned = capsys.readouterr().err + live._Printable("camfast: %(message)s").format(record)
    for text in (ran.out, ran.err, failed.err, warned):
        assert all(line.isprintable() for line in text.splitlines())
