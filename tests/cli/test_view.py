"""``camfast view``: what viewers are given, and one line for whatever a person got wrong."""

import json
import os
import re
import signal
import socket
import sys
import threading
import urllib.request
from urllib.parse import unquote

import mrcfile
import numpy as np
import pytest
import zarr

from camfast.cli import view
from camfast.scan import read_volume, write_volumes
from camfast.scan.showing.serving import FolderServer
from camfast.scan.showing.viewing import open_output


@pytest.fixture
def cam(camfast, command, tmp_path):
    """A map of the class ring beside its tomogram, with picks."""
    assert camfast(*command("--quiet", "--also", "picks")).code == 0
    return tmp_path / "cam.mrc"


@pytest.fixture
def several(camfast, command, tmp_path):
    """Maps of ball and ring."""
    out = tmp_path / "all.zarr"
    assert camfast(*command("--quiet", target="ball,ring", out=out)).code == 0
    return out


@pytest.fixture
def started(monkeypatch):
    """Programs that are on the PATH, and with what they were started."""
    calls = []
    monkeypatch.setattr(view.shutil, "which", lambda name: f"/opt/bin/{name}")
    monkeypatch.setattr(view.subprocess, "Popen", lambda command, **_: calls.append(command))
    return calls


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "exported").mkdir()
    return tmp_path / "exported"


def test_chimerax_gets_a_script(camfast, cam, tomogram, tmp_path):
    ran = camfast("view", cam, "--chimerax")
    script = tmp_path / "cam.cxc"
    assert (ran.code, ran.out) == (0, f"chimerax is not on the PATH; where it is, run: chimerax {script}\n")
    lines = script.read_text().splitlines()
    assert f'open "{tomogram}" format mrc id 1' in lines
    assert f'open "{cam}" format mrc id 2' in lines
    assert "volume #1 orthoplanes xyz positionPlanes 14,12,10" in lines  # x, y, z
    assert {"volume #1 voxelSize 10,10,10", "volume #2 voxelSize 10,10,10"} <= set(lines)
    (level,) = re.findall(r"volume #2 style surface level (\S+) color", "\n".join(lines))
    assert float(level) == pytest.approx(np.percentile(mrcfile.read(cam), 99.9) / 2, rel=1e-3)
    low, high = re.search(r"volume #1 level (\S+),0 level (\S+),1", "\n".join(lines)).groups()
    assert np.mean(mrcfile.read(tomogram) < float(low)) == pytest.approx(0.01, abs=0.005)
    assert np.mean(mrcfile.read(tomogram) > float(high)) == pytest.approx(0.01, abs=0.005)
    picks = json.loads((tmp_path / "cam.picks.json").read_text())["points"]
    assert picks
    places = re.findall(r"marker #3 position (\S+) radius", "\n".join(lines))
    assert [[float(n) for n in place.split(",")] for place in places] == [
        pytest.approx([p["location"][axis] for axis in "xyz"], rel=1e-6) for p in picks
    ]
    first = script.read_bytes()
    assert camfast("view", cam, "--chimerax", "--level", 0.25).code == 0  # its own script is replaced
    assert "volume #2 style surface level 0.25 color" in script.read_text()
    assert script.read_bytes() != first


def test_programs_are_started_with_the_files(camfast, cam, tomogram, tmp_path, started):
    assert camfast("view", cam, "--imod").out == f"/opt/bin/3dmod {tomogram} {cam}\n"
    assert camfast("view", cam, "--chimerax", "--quiet").out == ""
    assert started == [["/opt/bin/3dmod", str(tomogram), str(cam)], ["/opt/bin/chimerax", str(tmp_path / "cam.cxc")]]


def test_json_starts_nothing(camfast, cam, tomogram, started):
    facts = json.loads(camfast("view", cam, "--imod", "--json").out)
    assert facts == {
        "viewer": "imod",
        "map": str(cam),
        "maps": ["ring"],
        "density": str(tomogram),
        "command": ["/opt/bin/3dmod", str(tomogram), str(cam)],
        "started": False,
    }
    assert started == []


def test_a_program_that_cannot_be_started(refused, cam, started, monkeypatch):
    def broken(*_, **__):
        raise OSError(8, "Exec format error")

    monkeypatch.setattr(view.subprocess, "Popen", broken)
    ran = refused("view", cam, "--imod", "--quiet")
    assert "/opt/bin/3dmod: cannot be started (Exec format error)" in ran


@pytest.mark.parametrize(("target", "index"), [(None, 0), ("ring", 1), ("1", 1)])
def test_a_map_of_several_is_exported_as_mrc(camfast, several, folder, target, index):
    named = [] if target is None else ["--target", target]
    ran = camfast("view", several, "--imod", "--export", folder, *named, "--json")
    path = folder / f"all.{('ball', 'ring')[index]}.mrc"
    assert json.loads(ran.out)["map"] == str(path)
    np.testing.assert_array_equal(mrcfile.read(path), zarr.open_group(several, mode="r")["0"][index])
    assert mrcfile.validate(path)
    assert read_volume(path).voxel_angstrom == (10.0, 10.0, 10.0)
    before = path.stat().st_mtime_ns
    assert camfast("view", several, "--imod", "--export", folder, *named).code == 0
    assert path.stat().st_mtime_ns == before  # as it is newer than its source


def test_an_old_export_is_made_anew(camfast, several, folder):
    path = folder / "all.ball.mrc"
    path.write_bytes(b"old")
    os.utime(path, (1, 1))
    assert camfast("view", several, "--imod", "--export", folder).code == 0
    np.testing.assert_array_equal(mrcfile.read(path), zarr.open_group(several, mode="r")["0"][0])


def test_neuroglancer_state(camfast, several, tomogram, folder):
    facts = json.loads(camfast("view", several, "--neuroglancer", "--export", folder, "--json").out)
    state = facts["state"]
    assert json.loads(unquote(facts["link"].partition("#!")[2])) == state
    assert {axis: scale for axis, (scale, _) in state["dimensions"].items()} == pytest.approx(
        dict.fromkeys("zyx", 1e-9)
    )
    assert (list(state["dimensions"]), state["position"]) == (["x", "y", "z"], [14, 12, 10])
    grey, ball, ring = state["layers"]
    assert [layer["name"] for layer in state["layers"]] == ["tomo.mrc", "map: ball", "map: ring"]
    assert ring["source"] == "http://127.0.0.1:8642/map.zarr/|zarr:"
    assert (ball["localPosition"], ring["localPosition"], ring["localDimensions"]) == ([0], [1], {"c'": [1, ""]})
    assert (ball["visible"], ring["visible"]) == (True, False)
    assert ring["shaderControls"]["normalized"]["range"] == list(open_output(several).limits(1))
    assert grey["source"] == "http://127.0.0.1:8642/density.zarr/|zarr:"
    np.testing.assert_array_equal(
        zarr.open_group(folder / "tomo.zarr", mode="r")["0"][...], read_volume(tomogram).data[...]
    )


def test_neuroglancer_state_has_picks(camfast, command, folder, tmp_path):
    out = tmp_path / "one.zarr"
    assert camfast(*command("--quiet", "--also", "picks", out=out)).code == 0
    file = tmp_path / "state.json"
    ran = camfast("view", out, "--neuroglancer", "--export", folder, "--state", file, "--port", 9000)
    assert ran.out.startswith("https://neuroglancer-demo.appspot.com/#!%7B")
    state = json.loads(file.read_text())
    points = json.loads((tmp_path / "one.picks.json").read_text())["points"]
    (layer,) = [layer for layer in state["layers"] if layer["type"] == "annotation"]
    assert points
    np.testing.assert_allclose(
        [one["point"] for one in layer["annotations"]],
        [[point["location"][axis] / 10 for axis in "xyz"] for point in points],
        atol=1e-4,
    )
    assert state["layers"][1]["source"].startswith("http://127.0.0.1:9000/")


def test_neuroglancer_serves_until_ctrl_c(camfast, several, folder, monkeypatch):
    asked = []

    def serve(server):
        thread = threading.Thread(target=FolderServer.handle_request, args=(server,))
        thread.start()
        with urllib.request.urlopen(f"{server.address}/map.zarr/0/zarr.json", timeout=10) as answer:
            asked.append(json.loads(answer.read()))
        thread.join()
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(FolderServer, "serve_forever", serve)
    ran = camfast("view", several, "--neuroglancer", "--export", folder, "--port", 0)
    assert (ran.code, ran.err) == (0, "")
    assert asked[0]["shape"] == [2, 20, 24, 28]
    link, told = ran.out.splitlines()
    (port,) = re.findall(r"served at http://127\.0\.0\.1:(\d+) until Ctrl-C", told)
    assert f"http://127.0.0.1:{port}/map.zarr/" in unquote(link)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port))) != 0


def test_half_precision_is_exported_for_neuroglancer(camfast, command, refused, folder, tmp_path, tomogram):
    out = tmp_path / "half.zarr"
    assert camfast(*command("--quiet", "--dtype", "float16", out=out)).code == 0
    assert "half.zarr: the viewer reads OME-Zarr of float32" in refused("view", out, "--neuroglancer")
    assert camfast("view", out, "--neuroglancer", "--export", folder, "--json").code == 0
    written = zarr.open_group(folder / "half.float32.zarr", mode="r")["0"]
    assert written.dtype == np.float32
    np.testing.assert_array_equal(written[...], zarr.open_group(out, mode="r")["0"][...])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--imod", "--target", "rod"], ["--target is 'rod'", "holds ring"]),
        (["--imod", "--level", "1"], ["--level is for chimerax", "the viewer is imod"]),
        (["--imod", "--state", "s.json"], ["--state is for neuroglancer"]),
        (["--napari", "--target", "ring"], ["--target is for chimerax and imod"]),
        (["--imod", "--export", "none"], ["--export none: there is no such folder"]),
        (["--imod", "--density", "none.mrc"], ["none.mrc: no such file"]),
        (["--neuroglancer"], ["cam.mrc: the viewer reads OME-Zarr", "--export"]),
        (["--neuroglancer", "--imod"], ["not allowed with"]),
        ([], ["--napari --chimerax --imod --neuroglancer is required"]),
    ],
)
def test_what_a_person_got_wrong_is_one_line(refused, cam, arguments, says):
    line = refused("view", cam, *arguments)
    assert all(part in line for part in says), line


def test_what_is_no_map(refused, tomogram, tmp_path):
    assert "tomo.mrc: doesn't say how it came about" in refused("view", tomogram, "--imod")
    assert "none.mrc: no such file" in refused("view", tmp_path / "none.mrc", "--imod")


def test_a_density_of_another_shape(refused, cam, tmp_path):
    write_volumes(tmp_path / "small.mrc", [np.ones((2, 3, 4))], read_volume(np.ones((2, 3, 4))))
    line = refused("view", cam, "--imod", "--density", tmp_path / "small.mrc")
    assert "small.mrc: has 2 × 3 × 4 voxels, and the map" in line


def test_a_script_of_somebody_else_is_left_alone(refused, cam, tmp_path):
    (tmp_path / "cam.cxc").write_text("open 1abc\n")
    assert "cam.cxc: exists, and camfast view didn't write it" in refused("view", cam, "--chimerax")
    assert (tmp_path / "cam.cxc").read_text() == "open 1abc\n"


def test_without_napari(refused, cam, monkeypatch):
    monkeypatch.setitem(sys.modules, "napari", None)
    assert "pip install 'camfast[napari]'" in refused("view", cam, "--napari")
