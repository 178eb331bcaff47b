"""Names that somebody else chose, in files and their metadata: none leads elsewhere or becomes a command."""

import os

import numpy as np
import pytest
import torch
from gemmi import cif

from camfast.cli import view
from camfast.errors import InputError
from camfast.models import save_weights
from camfast.scan import write_volumes
from camfast.scan.picking.pick_files import write_star
from camfast.scan.picking.picks import Picks
from camfast.scan.showing.chimerax import chimerax_script
from camfast.scan.showing.viewing import open_output
from camfast.scan.volumes import Volume
from tests.scan.cases import density

SHAPE, SIZE = (6, 7, 8), (10.0, 10.0, 10.0)
COMMAND = "ball\nrunscript /evil.py\rexit; open http://evil\x0b\x0c\x1c\x85\u2028exit"
ONE = Picks(np.array([[5.0, 2.0, 3.0]]), np.ones(1, np.float32), np.zeros(1, int), np.ones(1, np.float32))


def _written(path, **about):
    write_volumes(path, [density(SHAPE)], Volume(density(SHAPE), SIZE), attributes={"method": "respond", **about})
    return path


@pytest.mark.parametrize("name", ["../secret.mrc", "{folder}/secret.mrc", "./../secret.mrc", "..", "", "in/../a.mrc"])
def test_the_density_is_looked_for_beside_a_map_and_nowhere_else(tmp_path, name):
    (tmp_path / "in").mkdir()
    _written(tmp_path / "secret.mrc")
    cam = _written(tmp_path / "in" / "cam.zarr", volume=name.format(folder=tmp_path))
    assert open_output(cam).density() is None
    cam = _written(tmp_path / "in" / "other.zarr", volume="secret.mrc")
    assert open_output(cam).density() == tmp_path / "secret.mrc"  # one folder up, by its plain name


def test_a_name_is_no_command_of_chimerax(tmp_path):
    cam = _written(tmp_path / "cam.zarr", label=COMMAND)
    output = open_output(cam)
    assert output.names == (COMMAND,)
    script = chimerax_script(output, 0, tmp_path / "cam.mrc", None)
    known = ("# camfast view: ", "open ", "volume #", "transparency #", "view", "marker #")
    assert all(line.startswith(known) for line in script.splitlines())
    comment, *commands = script.splitlines()
    assert comment.isprintable()
    assert ";" not in script
    assert not any("evil" in line for line in commands)


@pytest.mark.parametrize("name", ['a"b.mrc', "a\\b.mrc", "a'b.mrc", "a;b.mrc", "a b.mrc"])
def test_the_name_of_a_file_stays_one_word_of_chimerax(tmp_path, name):
    output = open_output(_written(tmp_path / "cam.zarr"))
    [line] = [line for line in chimerax_script(output, 0, tmp_path / name, None).splitlines() if line[:4] == "open"]
    word = line.removeprefix('open "').removesuffix('" format mrc id 2')
    assert word.replace('\\"', "").count('"') == 0
    assert word.replace('\\"', '"').replace("\\\\", "\\") == str(tmp_path / name)


@pytest.mark.parametrize("name", ["a\nexit.mrc", "a\rexit.mrc", "a\x85exit.mrc", "a\u2028exit.mrc"])
def test_a_file_whose_name_ends_a_command_is_refused(tmp_path, name):
    output = open_output(_written(tmp_path / "cam.zarr"))
    with pytest.raises(InputError, match="a script of ChimeraX has no place for; rename it"):
        chimerax_script(output, 0, tmp_path / name, None)


@pytest.mark.parametrize("name", ["loop_", "Data_x", "global_", "save_x", "stop_", "_rlnX", "#c", ";x", "$f", "'q",
                                  "[x]", "?", ".", ""])  # fmt: skip
def test_words_of_star_are_values_all_the_same(tmp_path, name):
    path = tmp_path / "p.star"
    write_star(path, ONE, Volume(density(SHAPE), SIZE), name)
    [block] = cif.read(str(path))
    assert [cif.as_string(one) for one in block.find_loop("_rlnTomoName")] == [name]


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\0b", "a\x1b[31m", "a\x85b", "a\u2028b", 'a"b'])
def test_what_star_has_no_place_for_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="call it otherwise"):
        write_star(tmp_path / "p.star", ONE, Volume(density(SHAPE), SIZE), name)
    assert not any(tmp_path.iterdir())


def test_a_class_of_several_lines_is_a_comment_all_the_same(tmp_path):
    path = tmp_path / "p.star"
    write_star(path, ONE, Volume(density(SHAPE), SIZE), "TS_01", ["ball\n\ndata_evil\nloop_\n_rlnX #1\n1\n"])
    assert [block.name for block in cif.read(str(path))] == ["particles"]


def test_what_is_written_replaces_a_link(tmp_path, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 7)  # a name that can be foreseen could be a link, too
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    out.mkdir()
    names = ("p.star", "v.cxc", "w.safetensors")
    for name in names:
        (out / name).symlink_to(elsewhere)
        (out / f".{name}.7.part").symlink_to(elsewhere)
    write_star(out / "p.star", ONE, Volume(density(SHAPE), SIZE), "TS_01")
    view._write(out / "v.cxc", "text")
    save_weights(out / "w.safetensors", torch.nn.Linear(2, 1))
    assert not os.path.lexists(elsewhere)
    assert all((out / name).is_file() and not (out / name).is_symlink() for name in names)
