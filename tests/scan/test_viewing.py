"""What viewers are given of an output: values lazily, limits, places, density and picks."""

import importlib
import json
import re
import tomllib
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import zarr

from camfast.errors import InputError
from camfast.scan import scan, write_volumes
from camfast.scan.formats.raw import RawArray
from camfast.scan.showing.napari import get_reader, layers_of, read
from camfast.scan.showing.viewing import density_of, is_output, open_output, stretch
from camfast.scan.volumes import Volume
from tests.scan.cases import STRIDE, WINDOW, density

SHAPE = (24, 20, 28)
SIZE = (10.0, 11.0, 12.0)
PLACE = (100.0, -50.0, 7.0)


@pytest.fixture
def tomogram(tmp_path):
    path = tmp_path / "tomo.mrc"
    write_volumes(path, [density(SHAPE)], Volume(np.empty(SHAPE), SIZE, PLACE))
    return path


@pytest.fixture
def scanned(tomogram, explainer):
    """Scan the tomogram into a file beside it."""

    def run(name, target=1, **options):
        given = {"window": WINDOW, "stride": STRIDE, "progress": False, **options}
        scan(tomogram, explainer, target=target, out=tomogram.parent / name, **given)
        return tomogram.parent / name

    return run


@pytest.mark.parametrize("name", ["cam.mrc", "cam.zarr"])
def test_an_output_is_opened_where_it_lies(scanned, tomogram, name):
    path = scanned(name)
    output = open_output(path)
    assert (output.shape, output.several, output.names) == (SHAPE, False, ("class 1",))
    assert output.voxel_angstrom == pytest.approx(SIZE)
    assert output.translation == pytest.approx(PLACE)
    expected = zarr.open_group(path, mode="r")["0"][...] if name.endswith("zarr") else mrcfile.read(path)
    np.testing.assert_array_equal(output.levels[0][...], expected)
    assert len(output.levels) == (3 if name.endswith("zarr") else 1)
    assert output.density() == tomogram


def test_layers_have_values_scale_units_and_limits(scanned, tomogram):
    path = scanned("cam.zarr", target=[1, 3], labels=["a", "b", "c", "d", "e"])
    layers = read(str(path))
    kinds = [kind for _, _, kind in layers]
    (grey, of_grey, _), (first, of_first, _), (second, of_second, _) = layers
    assert kinds == ["image"] * 3
    np.testing.assert_array_equal(np.asarray(grey), density(SHAPE))
    whole = zarr.open_group(path, mode="r")["0"][...]
    for index, levels in enumerate((first, second)):
        np.testing.assert_array_equal(np.asarray(levels[0]), whole[index])
        assert [level.shape for level in levels] == [SHAPE, (12, 10, 14), (6, 5, 7)]
    assert [of["name"] for of in (of_grey, of_first, of_second)] == ["tomo.mrc", "cam.zarr: b", "cam.zarr: d"]
    assert [of["visible"] for of in (of_first, of_second)] == [True, False]
    for of in (of_grey, of_first, of_second):
        assert of["scale"] == pytest.approx(SIZE)
        assert of["translate"] == pytest.approx(PLACE)
        assert of["units"] == ("angstrom",) * 3
    coarse = zarr.open_group(path, mode="r")["2"][...]
    assert of_first["contrast_limits"] == (0.0, pytest.approx(np.percentile(coarse[0].astype(np.float64), 99.9)))
    assert of_grey["contrast_limits"] == pytest.approx(stretch(Volume(density(SHAPE))))


def test_picks_beside_an_output(scanned):
    path = scanned("cam.mrc")
    points = [{"location": {"x": 24.0, "y": 33.0, "z": 50.0}, "score": 2.5}]
    content = {"pickable_object_name": "ball", "points": points}
    (path.parent / "cam.picks.json").write_text(json.dumps(content))
    (path.parent / "other.picks.json").write_text("of another output")
    data, of, kind = read(str(path))[-1]
    assert (kind, of["name"], of["features"]["value"].tolist()) == ("points", "picks: ball", [2.5])
    np.testing.assert_allclose(data, [[5.0, 3.0, 2.0]])
    (path.parent / "cam.picks.json").write_text('{"points": [{}]}')
    with pytest.raises(InputError, match=r"cam\.picks\.json: no picks that can be read"):
        open_output(path).picks()


def test_picks_of_the_map_that_is_shown_are_shown(scanned):
    path = scanned("cam.zarr", target=[1, 3])  # the names are "class 1" and "class 3"
    for name in ("class-1", "class-3"):
        content = {"pickable_object_name": name, "points": [{"location": {"x": 0.0, "y": 0.0, "z": 0.0}}]}
        (path.parent / f"cam.picks.{name}.json").write_text(json.dumps(content))
    visible = {of["name"]: of["visible"] for _, of, kind in read(str(path)) if kind == "points"}
    assert visible == {"picks: class-1": True, "picks: class-3": False}


def test_a_map_of_each_windows_own_class(scanned):
    assert open_output(scanned("cam.mrc", target="predicted")).names == ("predicted class",)


def test_labels_and_scores_open_as_what_they_are(scanned):
    path = scanned("cam.zarr", also=["labels", "scores"])
    (labels, of, kind), *rest = read(str(path.with_name("cam.labels.zarr")))
    assert (rest, kind) == ([], "labels")
    stored = zarr.open_group(path.with_name("cam.labels.zarr"), mode="r")["0"][...]
    np.testing.assert_array_equal(np.asarray(labels), stored + 1)
    assert of["scale"] == pytest.approx([s * v for s, v in zip(STRIDE, SIZE, strict=True)])
    assert [kind for _, _, kind in read(str(path.with_name("cam.scores.zarr")))] == ["image"] * 5


def test_only_sections_are_read(scanned, monkeypatch):
    path, voxels = scanned("cam.mrc"), []
    monkeypatch.setattr(RawArray, "read", lambda self, box, read=RawArray.read: (voxels.append(1), read(self, box))[1])
    layers = layers_of(open_output(path))
    opened = len(voxels)
    for data, _, _ in layers:
        np.asarray(data[3])
        np.asarray(data[:, 5])
    assert opened <= 8 + SHAPE[0]  # of the density a few sections, of this small map all
    assert all(hasattr(data, "dask") for data, _, _ in layers)


def test_the_reader_takes_outputs_and_tomograms_only(scanned, tomogram, tmp_path):
    path = scanned("cam.zarr")
    zarr.create_array(store=str(tmp_path / "other.zarr"), shape=(4, 4, 4), dtype="f4")
    (tmp_path / "notes.txt").write_text("")
    assert get_reader(str(path)) is read
    assert get_reader(str(tomogram)) is read
    assert get_reader([str(path), str(tomogram)]) is read
    assert get_reader(str(tmp_path / "other.zarr")) is None
    assert get_reader([str(path), str(tmp_path / "notes.txt")]) is None
    assert get_reader(str(tmp_path / "none.mrc")) is None
    assert (is_output(path), is_output(tomogram)) == (True, False)
    ((_, of, kind),) = read(str(tomogram))
    assert (kind, of["scale"], of["opacity"]) == ("image", pytest.approx(SIZE), 1.0)


def test_a_density_of_another_shape(scanned, tmp_path):
    path = scanned("cam.mrc")
    write_volumes(tmp_path / "small.mrc", [np.ones((3, 4, 5))], Volume(np.empty((3, 4, 5))))
    with pytest.raises(InputError, match=r"small\.mrc: has 3 × 4 × 5 voxels, and the map .* 24 × 20 × 28"):
        density_of(open_output(path), tmp_path / "small.mrc")
    (tmp_path / "tomo.mrc").write_bytes((tmp_path / "small.mrc").read_bytes())  # another one of the same name
    assert density_of(open_output(path), None) is None
    (tmp_path / "tomo.mrc").unlink()
    assert [kind for _, _, kind in read(str(path))] == ["image"]


@pytest.mark.parametrize(
    ("values", "limits"),
    [([-3.0, -1.0], (-3.0, 0.0)), ([0.0, 0.0], (0.0, 1.0)), ([np.nan, np.nan], (0.0, 1.0)), ([-1.0, 4.0], (0.0, 4.0))],
)
def test_limits(tmp_path, values, limits):
    cam = np.repeat(np.array(values, np.float32), 500).reshape(10, 10, 10)
    write_volumes(tmp_path / "cam.mrc", [cam], Volume(cam), attributes={"method": "respond"})
    assert open_output(tmp_path / "cam.mrc").limits() == pytest.approx(limits)
    assert "scale" not in read(str(tmp_path / "cam.mrc"))[0][1]


def test_what_is_no_output(tmp_path):
    with mrcfile.new(tmp_path / "plain.mrc") as file:
        file.set_data(np.ones((2, 2, 2), np.float32))
    with pytest.raises(InputError, match="doesn't say how it came about"):
        open_output(tmp_path / "plain.mrc")
    with pytest.raises(InputError, match="no such file"):
        open_output(tmp_path / "none.zarr")
    with pytest.raises(InputError, match="no output of a scan"):
        open_output(tmp_path / "cam.png")


def test_the_manifest_stands_where_the_package_says():
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["napari.manifest"] == {"camfast": "camfast:napari.yaml"}
    assert "napari.yaml" in project["tool"]["setuptools"]["package-data"]["camfast"]
    (command,) = re.findall(r"python_name: (\S+)", (root / "camfast" / "napari.yaml").read_text())
    module, name = command.split(":")
    assert getattr(importlib.import_module(module), name) is get_reader
