"""Networks, targets and volumes of unusual kinds: what a scan makes of them, or says where it can't."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.scan import scan, write_volumes
from camfast.scan.formats.ome_zarr import _placement
from camfast.scan.formats.ome_zarr_writer import ZarrWriter
from camfast.scan.tasks.staging import Staging
from camfast.scan.volumes import Volume
from camfast.scan.windows.exact import as_tensor
from tests.scan.cases import STRIDE, WINDOW, density

SHAPE = (20, 16, 24)


class Tokens(nn.Module):
    """A head that takes no grid but a list of places."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2)


def places() -> nn.Module:
    """One score for each class and each of 2 × 2 × 2 places of a window."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool3d(4), nn.Conv3d(4, 3, 1)).eval()


def test_a_network_without_parameters():
    """Its windows are float32, on the CPU."""
    model, volume = nn.Sequential(nn.AvgPool3d(4), nn.ReLU(), nn.Flatten()), density((8, 8, 8))
    explainer = camfast.Explainer(model, "0", "hirescam")
    found = scan(volume, explainer, window=8, stride=8, target=0, normalize=None, progress=False)
    expected = explainer(torch.from_numpy(volume)[None, None], 0)
    torch.testing.assert_close(found.cam, expected.maps[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.scores.flatten(), expected.scores[0], rtol=1e-5, atol=1e-6)


def test_a_layer_that_has_no_grid_of_voxels():
    model = nn.Sequential(nn.Conv3d(1, 4, 3), Tokens(), nn.AdaptiveAvgPool1d(1), nn.Flatten()).eval()
    with pytest.raises(camfast.InputError, match=r"a window's map has the shape \(\d+,\), expected \(\[T,\] z, y, x\)"):
        scan(density(SHAPE), camfast.Explainer(model, "1", "hirescam", size="grid"), window=8, stride=8, target=0,
             progress=False)  # fmt: skip


def test_a_trunk_is_not_shared_by_a_network_of_some_places():
    region = camfast.Region(1, "image")
    options = {"window": 8, "stride": 8, "target": region, "progress": False}
    explainer = camfast.Explainer(places(), "1", "hirescam")
    assert scan(density(SHAPE), explainer, **options).cam.shape == SHAPE
    with pytest.raises(camfast.InputError, match="gives scores of 2 × 2 × 2 places for a window of 8 × 8 × 8 voxels"):
        scan(density(SHAPE), explainer, trunk="shared", **options)


def test_a_region_of_a_class_that_is_none():
    with pytest.raises(camfast.InputError, match="class_index"):
        scan(density(SHAPE), camfast.Explainer(places(), "1", "hirescam"), window=8, stride=8,
             target=camfast.Region(7, "image"), progress=False)  # fmt: skip


def test_picks_are_of_classes(explainer, tmp_path):
    write_volumes(tmp_path / "tomo.mrc", [density(SHAPE)], Volume(density(SHAPE), (10.0, 10.0, 10.0)))
    with pytest.raises(camfast.InputError, match=r"picks are particles of classes, and the target is .*; give a class"):
        scan(tmp_path / "tomo.mrc", camfast.Explainer(places(), "1", "hirescam"), window=8, stride=8, also=["picks"],
             target=[camfast.Region(1, "image")], out=tmp_path / "cam.zarr", progress=False)  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["tomo.mrc"]


def test_maps_of_regions_are_named_after_them(tmp_path):
    regions = [camfast.Region(0, "image"), camfast.Region(1, "image")]
    scan(density(SHAPE), camfast.Explainer(places(), "1", "hirescam"), window=8, stride=8, target=regions,
         out=tmp_path / "cam.zarr", progress=False)  # fmt: skip
    names = camfast.read_provenance(tmp_path / "cam.zarr")["labels"]
    assert len(set(names)) == 2
    assert all("Region" in name for name in names)


def test_a_measured_sigma_is_that_of_the_whole_network(network):
    """The shared trunk's features have no receptive field of their own to be measured."""
    gaussian = {"upsample": "gaussian", "calibration": torch.from_numpy(density((2, 1, *WINDOW)))}
    measured = camfast.Explainer(network, "5", "respond", sigma="auto", **gaussian)
    given = camfast.Explainer(network, "5", "respond", upsample="gaussian", sigma=measured.upsampling.sigma)
    options = {"window": WINDOW, "stride": STRIDE, "target": 1, "trunk": "shared", "progress": False}
    assert torch.equal(*(scan(density(SHAPE), explainer, **options).cam for explainer in (measured, given)))


def test_memory_is_kept_for_the_chunks_of_a_store(explainer, tmp_path):
    write_volumes(tmp_path / "tomo.zarr", [density(SHAPE)], Volume(density(SHAPE)))
    options = {"window": WINDOW, "stride": STRIDE, "target": 1, "progress": False}
    found = scan(tmp_path / "tomo.zarr", explainer, max_memory="2G", **options)
    torch.testing.assert_close(found.cam, scan(density(SHAPE), explainer, **options).cam, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["<u2", ">u2", ">i2", "<f4"])
def test_any_word_becomes_a_tensor_of_its_values(kind):
    values = np.array([[0, 7], [300, 30000]]).astype(kind)
    found = as_tensor(values, torch.device("cpu"))
    np.testing.assert_array_equal(found.numpy(), values.astype(np.float64))


def test_a_wide_volume_gets_as_many_levels_as_it_needs():
    like = Volume(np.broadcast_to(np.float32(0), (4, 6, 40_000)))
    levels = ZarrWriter("cam.zarr", like).levels
    assert levels[0] == (4, 6, 40_000)
    assert max(levels[-1]) <= 256 < max(levels[-2])
    assert all(b == tuple(-(-length // 2) for length in a) for a, b in pairwise(levels))


def test_steps_of_a_store_that_place_nothing_are_passed_over():
    steps = [
        {"type": "identity"},
        {"type": "scale", "scale": [2, 3, 4]},
        {"type": "translation", "translation": [1, 0, 0]},
    ]
    image = {"datasets": [{"coordinateTransformations": steps}]}
    assert _placement(image, "zyx") == ([2.0, 3.0, 4.0], [1.0, 0.0, 0.0])


def publishing(folder, *names):
    staging = Staging(folder / "cam.mrc")
    staging.done.mkdir(parents=True)
    for name in names:
        (staging.done / name).write_text(name)
    return staging


def test_an_output_that_somebody_removed_is_named(tmp_path):
    staging = publishing(tmp_path, "cam.mrc")
    with pytest.raises(camfast.InputError, match=r"cam\.scores\.zarr was removed while the scan ran; scan again"):
        staging.publish([tmp_path / "cam.scores.zarr", tmp_path / "cam.mrc"], overwrite=False)
    assert staging.done.is_dir()
    assert not (tmp_path / "cam.mrc").exists()


def test_moving_goes_on_where_it_was_interrupted(tmp_path):
    staging = publishing(tmp_path, "cam.mrc")
    (staging.folder / "moving").touch()
    (tmp_path / "cam.labels.zarr").write_text("moved already")
    staging.publish([tmp_path / "cam.labels.zarr", tmp_path / "cam.mrc"], overwrite=False)
    assert (tmp_path / "cam.labels.zarr").read_text() == "moved already"
    assert (tmp_path / "cam.mrc").read_text() == "cam.mrc"
    assert not staging.folder.exists()
