"""Picks in files: read back by gemmi, and by copick's own schema."""

import importlib
import importlib.util
import json

import numpy as np
import pytest
from gemmi import cif

from camfast.errors import InputError
from camfast.scan.picking.pick_files import angstrom, copick_name, write_copick, write_star
from camfast.scan.picking.picks import Picks
from camfast.scan.volumes import Volume

SHAPE, VOXEL = (20, 31, 40), (10.1, 10.0, 9.9)
POSITION = np.array([(5.25, 2.0, 39.0), (10.0, 15.5, 20.0), (0.0, 0.0, 0.0)])


def _picks(labels=(0, 2, 0)):
    value = np.array([3.5, 0.25, 1e-7], np.float32)
    return Picks(POSITION, value, np.array(labels), np.array([1, 0.5, np.nan], np.float32))


def _volume(voxel=VOXEL, origin=(0.0, 0.0, 0.0)):
    return Volume(np.zeros(SHAPE, np.float32), voxel, origin)


def _column(path, name):
    return list(cif.read(str(path)).find_block("particles").find_loop(f"_rln{name}"))


def test_star_is_read_back(tmp_path):
    path = tmp_path / "picks.star"
    write_star(path, _picks(), _volume(), "TS_01", ["ball", "barrel", "ring"])
    assert _column(path, "TomoName") == ["TS_01"] * 3
    assert _column(path, "TomoParticleName") == ["TS_01/1", "TS_01/2", "TS_01/3"]
    assert _column(path, "ClassNumber") == ["1", "3", "1"]
    assert [float(v) for v in _column(path, "AutopickFigureOfMerit")] == [3.5, 0.25, 1e-7]
    for axis, letter in enumerate("ZYX"):
        voxels = np.array(_column(path, f"Coordinate{letter}"), float)
        centred = np.array(_column(path, f"CenteredCoordinate{letter}Angst"), float)
        np.testing.assert_allclose(voxels, POSITION[:, axis], atol=5e-4)  # three decimals
        np.testing.assert_allclose(centred, (POSITION[:, axis] - SHAPE[axis] / 2) * VOXEL[axis], atol=6e-4)
    lines = path.read_text().splitlines()
    assert "# version 50001" in lines
    assert [line for line in lines if line.startswith("# class")] == ["# class 1: ball", "# class 3: ring"]
    # RELION reads rows as words: one a column, none in quotes
    rows = [line.split() for line in lines if line.startswith("TS_01")]
    assert [len(row) for row in rows] == [10, 10, 10]


def test_the_middle_voxel_of_an_even_axis_is_relions_centre(tmp_path):
    picks = Picks(np.array([(10.0, 15.5, 20.0)]), np.ones(1, np.float32), np.zeros(1, int), np.ones(1, np.float32))
    write_star(tmp_path / "p.star", picks, _volume(), "t")
    assert {_column(tmp_path / "p.star", f"CenteredCoordinate{a}Angst")[0] for a in "XYZ"} == {"0.000"}


def test_a_name_with_spaces_is_in_double_quotes(tmp_path):
    write_star(tmp_path / "p.star", _picks(), _volume(), "my tomo")
    assert [cif.as_string(v) for v in _column(tmp_path / "p.star", "TomoParticleName")][2] == "my tomo/3"
    assert '"my tomo"' in (tmp_path / "p.star").read_text()
    with pytest.raises(InputError, match="holds quotes or line breaks"):
        write_star(tmp_path / "p.star", _picks(), _volume(), 'a"b')


def test_no_picks_are_a_file_too(tmp_path):
    nothing = _picks().take(np.zeros(3, bool))
    write_star(tmp_path / "p.star", nothing, _volume(), "t", {0: "ball"})
    assert _column(tmp_path / "p.star", "CoordinateX") == []
    write_copick(tmp_path / "p.json", nothing, _volume(), name="ball", run="t")
    assert json.loads((tmp_path / "p.json").read_text())["points"] == []


def test_the_header_origin_plays_no_part(tmp_path):
    for name, volume in (("a", _volume()), ("b", _volume(origin=(100.0, -3.0, 7.0)))):
        write_star(tmp_path / f"{name}.star", _picks(), volume, "t")
        write_copick(tmp_path / f"{name}.json", _picks((0, 0, 0)), volume, name="ball", run="t")
    for suffix in ("star", "json"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    np.testing.assert_allclose(angstrom(_picks(), _volume()), POSITION * VOXEL)


def _check_copick(content):
    """The picks file as copick 1 documents it: names and types of every field."""
    assert set(content) == {
        "pickable_object_name", "user_id", "session_id", "run_name", "voxel_spacing", "unit", "points",
        "trust_orientation",
    }  # fmt: skip
    assert all(isinstance(content[name], str) for name in ("pickable_object_name", "user_id", "session_id", "run_name"))
    assert content["unit"] == "angstrom"
    assert isinstance(content["voxel_spacing"], float)
    assert isinstance(content["trust_orientation"], bool)
    for point in content["points"]:
        assert set(point) == {"location", "transformation_", "instance_id", "score"}
        assert set(point["location"]) == {"x", "y", "z"}
        assert all(isinstance(value, float) for value in (*point["location"].values(), point["score"]))
        assert np.array(point["transformation_"]).shape == (4, 4)
        assert point["transformation_"][3] == [0.0, 0.0, 0.0, 1.0]
        assert isinstance(point["instance_id"], int)


def test_copick_follows_its_schema(tmp_path):
    path = tmp_path / copick_name("ball", session="7")
    write_copick(path, _picks((2, 2, 2)), _volume(), name="ball", run="TS_01", session="7")
    assert path.name == "camfast_7_ball.json"
    content = json.loads(path.read_text())
    _check_copick(content)
    assert (content["pickable_object_name"], content["user_id"], content["session_id"]) == ("ball", "camfast", "7")
    assert (content["run_name"], content["voxel_spacing"]) == ("TS_01", 10.0)
    assert content["trust_orientation"] is False
    for axis, letter in enumerate("zyx"):
        found = [point["location"][letter] for point in content["points"]]
        np.testing.assert_allclose(found, POSITION[:, axis] * VOXEL[axis], atol=5e-5)  # four decimals
    np.testing.assert_array_equal([point["score"] for point in content["points"]], _picks().value)


@pytest.mark.skipif(importlib.util.find_spec("copick") is None, reason="copick is not installed")
def test_copick_reads_it(tmp_path):
    models = importlib.import_module("copick.models")
    write_copick(tmp_path / "p.json", _picks((2, 2, 2)), _volume(), name="ball", run="TS_01")
    read = models.CopickPicksFile(**json.loads((tmp_path / "p.json").read_text()))
    assert [point.location.x for point in read.points] == pytest.approx(POSITION[:, 2] * VOXEL[2], abs=5e-5)


@pytest.mark.parametrize("part", ["", "my object", "my_object", "a/b", 'a"b', "a\nb"])
@pytest.mark.parametrize("field", ["name", "user", "session"])
def test_names_that_copick_does_not_take(tmp_path, field, part):
    options = {"name": "ball", "run": "t"} | {field: part}
    with pytest.raises(InputError, match="no name that copick takes"):
        write_copick(tmp_path / "p.json", _picks((0, 0, 0)), _volume(), **options)
    assert list(tmp_path.iterdir()) == []


def test_one_copick_file_one_object(tmp_path):
    with pytest.raises(InputError, match=r"classes \[0, 2\], and a copick file holds one object"):
        write_copick(tmp_path / "p.json", _picks(), _volume(), name="ball", run="t")


def test_without_a_voxel_size_there_is_no_angstrom(tmp_path):
    with pytest.raises(InputError, match="--apix"):
        write_star(tmp_path / "p.star", _picks(), _volume(None), "t")
    with pytest.raises(InputError, match="--apix"):
        write_copick(tmp_path / "p.json", _picks((0, 0, 0)), _volume(None), name="ball", run="t")
    assert list(tmp_path.iterdir()) == []
