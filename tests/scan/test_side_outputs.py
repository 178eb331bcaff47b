"""What stands beside a map: scores and labels on the grid of strides, picks, and the page."""

import json

import numpy as np
import pytest
import torch
import zarr
from gemmi import cif

import camfast
from camfast.scan import Volume, read_volume
from camfast.scan.picking.peaks import peaks
from camfast.scan.picking.picks import choose, default_distance, merge
from camfast.scan.scanner import scan
from camfast.scan.windows.plan import plan_windows
from tests.scan.cases import STRIDE, WINDOW, density

LABELS = ["nothing", "ring", "rod", "shell", "tetra_pod"]


@pytest.fixture
def volume() -> Volume:
    return Volume(density((28, 24, 32)), (4.0, 5.0, 6.0), (100.0, 200.0, 300.0))


def options(**changes):
    return {"window": WINDOW, "stride": STRIDE, "target": 2, "labels": LABELS, "batch": 4, "progress": False} | changes


@pytest.mark.parametrize("name", ["cam.zarr", "cam.mrc"])
def test_scores_and_labels_stand_where_the_windows_are(explainer, volume, tmp_path, name):
    result = scan(volume, explainer, out=tmp_path / name, also=["scores", "labels"], **options())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "cam.labels.zarr", "cam.scores.zarr"])
    scores = zarr.open_group(tmp_path / "cam.scores.zarr", mode="r")
    np.testing.assert_array_equal(np.moveaxis(scores["0"][...], 0, -1), result.scores.numpy())
    assert [channel["label"] for channel in dict(scores.attrs)["ome"]["omero"]["channels"]] == LABELS
    labels = read_volume(tmp_path / "cam.labels.zarr")
    np.testing.assert_array_equal(np.asarray(labels.data), result.scores.argmax(-1).numpy())
    assert labels.voxel_angstrom == tuple(s * v for s, v in zip(STRIDE, (4.0, 5.0, 6.0), strict=True))
    # the first voxel stands at the first window's centre
    assert labels.origin == tuple(
        o + (w - 1) / 2 * v for o, w, v in zip((100.0, 200.0, 300.0), WINDOW, (4.0, 5.0, 6.0), strict=True)
    )


def test_labels_of_windows_that_a_mask_left_out(explainer, volume, tmp_path):
    mask = np.zeros(volume.shape, bool)
    mask[:4, :4, :4] = True
    result = scan(volume, explainer, out=tmp_path / "cam.mrc", also=["labels"], mask=mask, **options())
    labels = np.asarray(read_volume(tmp_path / "cam.labels.zarr").data)
    assert labels[0, 0, 0] >= 0
    assert (labels[result.scores.isnan().any(-1).numpy()] == -1).all()


def expected(result, plan, target, **changes):
    found = peaks(np.asarray(result), distance=default_distance(plan))
    return choose(found, changes.pop("scores"), plan, target, **changes)


@pytest.mark.parametrize("target", [4, [1, 4], "all"])
def test_picks_are_those_of_the_whole_map(explainer, volume, tmp_path, target):
    result = scan(volume, explainer, out=tmp_path / "cam.zarr", also=["picks"], **options(target=target))
    plan = plan_windows(volume.shape, WINDOW, STRIDE)
    maps = result.cam[...] if target != 4 else result.cam[...][None]
    classes = {4: [4], "all": [1, 2, 3, 4]}.get(target if isinstance(target, str | int) else "", [1, 4])
    each = [maps[c] if target == "all" else one for c, one in zip(classes, maps, strict=False)]
    all_of = merge([expected(one, plan, c, scores=result.scores) for c, one in zip(classes, each, strict=True)])
    assert len(all_of) > 0
    np.testing.assert_allclose(result.picks.position, all_of.position, atol=1e-6)
    np.testing.assert_array_equal(result.picks.label, all_of.label)
    rows = cif.read(str(tmp_path / "cam.picks.star")).sole_block().find("_rln", ["CoordinateZ", "ClassNumber"])
    assert [int(row[1]) - 1 for row in rows] == all_of.label.tolist()
    names = {c: LABELS[c].replace("_", "-") for c in classes}
    for index, name in names.items():
        file = "cam.picks.json" if len(classes) == 1 else f"cam.picks.{name}.json"
        content = json.loads((tmp_path / file).read_text())
        assert (content["pickable_object_name"], len(content["points"])) == (name, (all_of.label == index).sum())


def test_picks_by_the_map_alone_stand_out_of_it(explainer, volume, tmp_path):
    result = scan(volume, explainer, out=tmp_path / "cam.mrc", also=["picks"], **options(pick_by="map"))
    plan = plan_windows(volume.shape, WINDOW, STRIDE)
    cam = np.asarray(result.cam)
    found = peaks(cam, distance=default_distance(plan), above=2 * cam.std(dtype=np.float64))
    assert len(found.value) > 0
    np.testing.assert_allclose(result.picks.value, np.sort(found.value)[::-1], rtol=1e-6)


def test_predicted_maps_have_picks_of_all_classes_but_nothing(explainer, volume, tmp_path):
    result = scan(volume, explainer, out=tmp_path / "cam.mrc", also=["picks"], **options(target="predicted"))
    assert set(result.picks.label.tolist()) <= {1, 2, 3, 4}
    with pytest.raises(camfast.InputError, match="pick_by='map' needs classes"):
        scan(volume, explainer, out=tmp_path / "b.mrc", also=["picks"], **options(target="predicted", pick_by="map"))


def test_labels_that_become_the_same_name_have_files_of_their_own(explainer, volume, tmp_path):
    labels = ["nothing", "a b", "a-b", "ring", "c"]
    scan(volume, explainer, out=tmp_path / "cam.zarr", also=["picks"], **options(target=[1, 2], labels=labels))
    names = {path.name for path in tmp_path.glob("*.json")}
    assert names == {"cam.picks.a-b.json", "cam.picks.a-b-2.json"}


def test_the_report_is_there_and_the_same_again(explainer, volume, tmp_path):
    pages = []
    for _ in range(2):
        scan(volume, explainer, out=tmp_path / "cam.zarr", also=["report"], overwrite=True, **options())
        pages.append((tmp_path / "cam.report.html").read_bytes())
    assert pages[0] == pages[1]
    assert b"rod" in pages[0]


def test_shared_reports_its_true_difference(explainer, volume, tmp_path):
    """Recomputed here with every window, where the sample is a few of them."""
    result = scan(volume, explainer, out=tmp_path / "cam.zarr", **options(trunk="shared"))
    about = camfast.read_provenance(tmp_path / "cam.zarr")
    assert about["difference_from_exact"]["maps"] == pytest.approx(result.difference.maps)
    assert about["trunk"] == "shared"
    exact = scan(volume, explainer, **options())
    away = (result.scores - exact.scores).norm() / exact.scores.norm()
    assert 0.3 < float(away) / result.difference.scores < 3
    assert torch.isfinite(torch.tensor(result.difference.worst))
