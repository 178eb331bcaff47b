"""What each viewer is told of maps: where to open, what it can't be told, and outputs that are none."""

import errno
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import zarr

from camfast.errors import InputError
from camfast.scan import read_volume, write_volumes
from camfast.scan.picking.picks import Picks
from camfast.scan.showing import exporting
from camfast.scan.showing.chimerax import chimerax_script
from camfast.scan.showing.exporting import density_as, map_as
from camfast.scan.showing.napari import open_viewer
from camfast.scan.showing.neuroglancer import neuroglancer_state
from camfast.scan.showing.page_facts import pick_rows, rows_of
from camfast.scan.showing.viewing import open_output
from camfast.scan.volumes import Volume

SHAPE = (8, 10, 12)
STRONGEST = (5, 2, 9)
SIZE = (2.0, 3.0, 4.0)
PLACE = (10.0, 20.0, -30.0)


@pytest.fixture
def values():
    found = np.random.default_rng(0).random(SHAPE, np.float32)
    found[STRONGEST] = 9.0
    return found


@pytest.fixture
def written(tmp_path, values):
    """Write a map as a scan does, beside the density that it is of."""

    def write(name="cam.mrc", size=SIZE, place=PLACE, **about):
        like = Volume(np.empty(SHAPE), size, place)
        write_volumes(tmp_path / "tomo.mrc", [values], like)
        about = {"method": "respond", "volume": "tomo.mrc", "window": [8, 8, 8], **about}
        write_volumes(tmp_path / name, [values], like, attributes=about)
        return tmp_path / name

    return write


def with_picks(path, *places):
    """Put picks of (z, y, x) in ångström beside a map, the last the strongest."""
    points = [
        {"location": dict(zip("zyx", map(float, place), strict=True)), "score": float(score)}
        for score, place in enumerate(places)
    ]
    content = {"pickable_object_name": "ball", "points": points}
    path.with_name(f"{path.stem}.picks.json").write_text(json.dumps(content))
    return path


class Dims:
    """napari's dims: the place, and how thick its slices are."""

    def __init__(self):
        self.point = {}
        self.margin_left = self.margin_right = ()

    def set_point(self, axis, position):
        self.point[axis] = position


@pytest.fixture
def napari(monkeypatch):
    """The part of napari that `open_viewer` calls."""

    def viewer(title, show):
        bar = SimpleNamespace(visible=None)
        canvas = SimpleNamespace(overlays=SimpleNamespace(scale_bar=bar))
        layers = []
        return SimpleNamespace(
            title=title, show=show, layers=layers, add_layer=layers.append, canvas=canvas, dims=Dims()
        )

    layer = SimpleNamespace(create=lambda data, arguments, kind: SimpleNamespace(data=data, kind=kind, **arguments))
    package = SimpleNamespace(Viewer=viewer, layers=SimpleNamespace(Layer=layer))
    monkeypatch.setitem(sys.modules, "napari", package)


@pytest.mark.usefixtures("napari")
def test_napari_opens_at_the_strongest_pick(written):
    viewer = open_viewer(open_output(with_picks(written(), (2.0, 9.0, 8.0), (6.0, 12.0, 20.0))), show=False)
    assert (viewer.title, viewer.show) == ("camfast: cam.mrc", False)
    assert [layer.name for layer in viewer.layers] == ["tomo.mrc", "cam.mrc: class ?", "picks: ball"]
    assert viewer.canvas.overlays.scale_bar.visible is True
    assert list(viewer.dims.point.values()) == pytest.approx(np.array((6.0, 12.0, 20.0)) + PLACE)
    # a particle is about half a window across, and a slice shows those that reach into it
    assert viewer.dims.margin_left == viewer.dims.margin_right == pytest.approx([4.0, 6.0, 8.0])


@pytest.mark.usefixtures("napari")
def test_napari_opens_at_the_strongest_voxel_where_nothing_was_picked(written):
    viewer = open_viewer(open_output(written()))
    assert list(viewer.dims.point.values()) == pytest.approx(np.array(STRONGEST) * SIZE + PLACE)
    assert viewer.show is True


@pytest.mark.usefixtures("napari")
def test_napari_has_no_scale_where_the_voxels_size_is_unknown(written):
    viewer = open_viewer(open_output(with_picks(written(size=None, place=(0.0,) * 3, window=None), (6, 12, 20))))
    assert viewer.canvas.overlays.scale_bar.visible is False
    assert list(viewer.dims.point.values()) == pytest.approx(STRONGEST)
    assert viewer.dims.margin_left == pytest.approx([12 / 20 / 2] * 3)


def test_chimerax_is_told_no_places_where_the_voxels_size_is_unknown(written):
    path = with_picks(written(size=None, place=(0.0,) * 3), (6, 12, 20))
    density = read_volume(path.with_name("tomo.mrc"))
    script = chimerax_script(open_output(path), 0, path, (density, path.with_name("tomo.mrc")))
    assert "voxelSize" not in script
    assert "marker" not in script  # picks are in ångström
    assert "volume #1 orthoplanes xyz positionPlanes 6,5,4" in script


def test_neuroglancer_without_a_density_or_a_voxel_size(written):
    path = with_picks(written("cam.zarr", size=None, place=(0.0,) * 3), (6, 12, 20))
    state = neuroglancer_state(open_output(path), None, {"map": "http://127.0.0.1:1/map.zarr"})
    assert [layer["name"] for layer in state["layers"]] == ["map: class ?"]
    assert state["dimensions"] == {"x": [1, ""], "y": [1, ""], "z": [1, ""]}
    assert state["position"] == [6, 5, 4]


def test_what_camfast_wrote_that_is_no_map(tmp_path, values):
    write_volumes(tmp_path / "density.mrc", [values], Volume(values), attributes={"volume": "tomo.mrc"})
    with pytest.raises(InputError, match=r"density\.mrc: written by camfast, but no map; give what camfast scan wrote"):
        open_output(tmp_path / "density.mrc")


def test_a_map_whose_names_are_lost_is_numbered(written):
    assert open_output(written(labels=["ball", "rod"])).names == ("map 0",)


def edited(path, change):
    """Change the description of an OME-Zarr image."""
    group = zarr.open_group(path, mode="r+")
    ome = group.attrs["ome"]
    change(ome["multiscales"][0])
    group.attrs["ome"] = ome
    return path


def test_a_store_without_units_has_no_voxel_size(written):
    def forget(image):
        for axis in image["axes"]:
            del axis["unit"]

    output = open_output(edited(written("cam.zarr"), forget))
    assert (output.voxel_angstrom, output.translation) == (None, (0.0, 0.0, 0.0))


def test_a_store_with_other_axes_is_refused(written):
    def turn(image):
        image["axes"].reverse()

    with pytest.raises(InputError, match=r"cam\.zarr: an image with the axes 'xyz', expected 'zyx' or 'czyx'"):
        open_output(edited(written("cam.zarr"), turn))


def test_a_store_that_a_viewer_reads_is_handed_to_it(tmp_path, values):
    write_volumes(tmp_path / "tomo.zarr", [values], Volume(values, SIZE))
    density = read_volume(tmp_path / "tomo.zarr")
    assert density_as(density, "zarr", None) == tmp_path / "tomo.zarr"
    with pytest.raises(InputError, match=r"tomo\.zarr: the viewer reads MRC; say with --export FOLDER"):
        density_as(density, "mrc", None)


def half(path, values):
    """Write a map that neuroglancer can't read, and so has to be exported."""
    write_volumes(path, [values], Volume(values), attributes={"method": "respond"}, dtype="float16")
    return open_output(path)


def test_an_export_onto_a_full_disk_leaves_nothing(tmp_path, values, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    output = half(tmp_path / "half.zarr", values)
    monkeypatch.setattr(exporting, "write_volumes", full)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=r"half\.float32\.zarr: cannot be written \(No space left on device\); choose"):
        map_as(output, 0, "zarr", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_never_replaces_what_is_shown(tmp_path, values):
    output = half(tmp_path / "half.zarr", values)
    (tmp_path / "half.float32.zarr").symlink_to("half.zarr")
    with pytest.raises(InputError, match=r"half\.float32\.zarr would replace what is shown; give another folder"):
        map_as(output, 0, "zarr", tmp_path)


def test_a_page_says_what_it_knows_of_picks_and_numbers():
    picks = Picks(np.array([[1.0, 2.0, 3.0]]), np.array([4.5]), np.array([2]), probability=np.array([np.nan]))
    known, unknown = Volume(np.zeros((4, 5, 6)), (10.0, 20.0, 30.0)), Volume(np.zeros((4, 5, 6)))
    (row,) = pick_rows(picks, {2: "ring"}, known, 5)
    assert (row["label"], row["voxels"], row["angstrom"]) == ("ring", "1.0, 2.0, 3.0", "10, 40, 90")
    assert (row["value"], row["probability"]) == ("4.5", "")
    assert pick_rows(picks, {}, unknown, 5)[0]["angstrom"] == ""
    assert pick_rows(picks, {}, unknown, 5)[0]["label"] == "class 2"
    assert ("threshold", "0.1235") in rows_of({"threshold": 0.123456}, unknown)
