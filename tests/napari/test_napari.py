"""napari itself, on a display that Xvfb provides: it finds the plugin, and shows density, map and picks."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml

with warnings.catch_warnings():  # its libraries' own, which nothing here can change
    warnings.simplefilter("ignore")
    napari = pytest.importorskip(
        "napari", reason="napari is not installed: make napari installs it", exc_type=ImportError
    )

from camfast import cli
from camfast.scan.showing.napari import open_viewer
from camfast.scan.showing.viewing import open_output

pytestmark = [
    pytest.mark.napari,
    pytest.mark.skipif(not os.environ.get("DISPLAY"), reason="there is no display: make napari starts Xvfb"),
    pytest.mark.filterwarnings("default"),
]

MANIFEST = Path(cli.__file__).parents[1] / "napari.yaml"
ATTEMPTS = 200


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo's tomogram, its map for barrels, and the picks beside it."""
    folder = tmp_path_factory.mktemp("demo")
    assert cli.main(["demo", "--out", str(folder), "--quiet"]) == 0
    options = ["--model", "subtomogram_demo", "--target", "barrel", "--method", "respond"]
    options += ["--window", "32", "--stride", "8", "--also", "picks", "--quiet"]
    out = folder / "barrels.zarr"
    assert cli.main(["scan", str(folder / "tomogram.mrc"), *options, "-o", str(out)]) == 0
    return out


@pytest.fixture
def plugins():
    """npe2 with this plugin's manifest, which an installed package announces by an entry point."""
    npe2 = pytest.importorskip("npe2")
    manager = npe2.PluginManager.instance()
    manager.discover()
    if "camfast" not in manager:
        manager.register(npe2.PluginManifest.from_file(MANIFEST))
    return manager


def drawn(viewer):
    """Let Qt and the slicing threads finish, and take a picture of the window."""
    from qtpy.QtTest import QTest

    for _ in range(ATTEMPTS):
        QTest.qWait(20)
        if all(layer.loaded for layer in viewer.layers):
            break
    else:
        pytest.fail(f"not loaded after {ATTEMPTS * 20} ms")
    QTest.qWait(200)
    return viewer.screenshot(canvas_only=True, flash=False)


def test_the_manifest_is_valid():
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == yaml.safe_load(MANIFEST.read_text())["name"] == "camfast"


def test_napari_opens_an_output_with_its_density_and_picks(demo, plugins):
    viewer = napari.Viewer(show=True)
    try:
        layers = viewer.open(str(demo), plugin="camfast")
        density, cam, picks = layers
        assert [type(layer).__name__ for layer in layers] == ["Image", "Image", "Points"]
        assert (density.name, cam.name, picks.name) == ("tomogram.mrc", "barrels.zarr: barrel", "picks: barrel")
        assert (cam.multiscale, len(cam.data), cam.blending) == (True, 3, "additive")
        for layer in layers:
            np.testing.assert_allclose(layer.scale, 10)
            assert {str(unit) for unit in layer.units} == {"angstrom"}
        whole = np.asarray(cam.data[0])
        low, high = cam.contrast_limits
        assert low == 0
        assert np.percentile(whole, 99) < high < whole.max()
        assert len(picks.data) > 3
        values = whole[tuple(np.rint(picks.data).astype(int).T)]
        assert np.median(values) > np.percentile(whole, 99)  # picks lie where the map is large
        (alone,) = viewer.open(str(demo.parent / "tomogram.mrc"), plugin="camfast")
        np.testing.assert_array_equal(np.asarray(alone.data[5]), np.asarray(density.data[5]))
    finally:
        viewer.close()


def test_density_and_map_are_seen(demo):
    viewer = open_viewer(open_output(demo))
    try:
        viewer.window.resize(1200, 820)
        viewer.reset_view()
        both = drawn(viewer)[..., :3].astype(float)
        if picture := os.environ.get("CAMFAST_PICTURES"):
            viewer.screenshot(str(Path(picture) / "napari.png"), canvas_only=False, flash=False)
        density, cam, _ = viewer.layers
        cam.visible = False
        grey = drawn(viewer)[..., :3].astype(float)
        density.visible, cam.visible = False, True
        alone = drawn(viewer)[..., :3].astype(float)
        assert grey.std() > 20
        assert np.abs(both - grey).max() > 100
        coloured = np.ptp(alone, axis=-1) > 60
        assert 0.001 < coloured.mean() < 0.2
    finally:
        viewer.close()


def test_the_command_opens_a_viewer(demo, monkeypatch):
    opened = []
    monkeypatch.setattr(napari, "run", lambda: opened.extend(napari.current_viewer().layers))
    try:
        assert cli.main(["view", str(demo), "--napari", "--quiet"]) == 0
        assert [layer.name for layer in opened] == ["tomogram.mrc", "barrels.zarr: barrel", "picks: barrel"]
        place = np.array(napari.current_viewer().dims.point)
        assert np.abs(opened[2].data * 10 - place).max(1).min() <= 5  # at a pick
    finally:
        napari.Viewer.close_all()
