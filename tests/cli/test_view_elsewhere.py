"""``camfast view`` in napari, in a browser without a density, and what it can't write."""

import json
import sys
from types import SimpleNamespace

import pytest
import zarr

from camfast.scan.showing import napari as showing


@pytest.fixture
def cam(camfast, command, tmp_path):
    out = tmp_path / "cam.zarr"
    assert camfast(*command("--quiet", out=out)).code == 0
    return out


@pytest.fixture
def opened(monkeypatch):
    """What napari was opened with, and whether it was waited for."""
    calls = []
    monkeypatch.setitem(sys.modules, "napari", SimpleNamespace(run=lambda: calls.append("closed")))
    monkeypatch.setattr(showing, "open_viewer", lambda output, density: calls.append((output.path, density)))
    return calls


def test_napari_is_opened_with_the_map_and_its_density(camfast, cam, tomogram, opened):
    facts = json.loads(camfast("view", cam, "--napari", "--json").out)
    assert (facts["viewer"], facts["density"], facts["started"]) == ("napari", str(tomogram), False)
    assert opened == []
    ran = camfast("view", cam, "--napari")
    assert (ran.code, ran.out.startswith("napari shows ")) == (0, True)
    assert opened == [(cam, tomogram), "closed"]
    tomogram.unlink()
    assert camfast("view", cam, "--napari", "--quiet").out == ""
    assert opened[2:] == [(cam, None), "closed"]


def test_neuroglancer_shows_a_map_alone(camfast, cam, tomogram):
    tomogram.unlink()
    facts = json.loads(camfast("view", cam, "--neuroglancer", "--json").out)
    assert [layer["name"] for layer in facts["state"]["layers"]] == ["map: ring"]
    assert facts["density"] is None


def test_a_port_that_no_state_can_name(refused, cam, tomogram):
    tomogram.unlink()
    line = refused("view", cam, "--neuroglancer", "--json", "--port", 0)
    assert "--port is 0, expected 1 to 65535, as the state names it" in line


def test_a_state_that_cannot_be_written(refused, cam, tomogram, tmp_path):
    tomogram.unlink()
    line = refused("view", cam, "--neuroglancer", "--state", tmp_path / "none" / "state.json")
    assert "none/state.json: cannot be written (No such file or directory); choose another place" in line


def test_a_store_whose_description_is_lost(refused, cam):
    group = zarr.open_group(cam, mode="r+")
    ome = group.attrs["ome"]
    group.attrs["ome"] = {**ome, "multiscales": []}
    assert "cam.zarr: no OME-Zarr image (IndexError: list index out of range)" in refused("view", cam, "--imod")
