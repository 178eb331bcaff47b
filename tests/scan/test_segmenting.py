"""Networks that label every voxel: blocks with a halo give what the whole volume at once gives."""

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.scan.scanner import scan
from tests.scan.cases import density


@pytest.fixture(scope="module")
def labels_voxels() -> nn.Module:
    """A network that looks 4 voxels far in front and behind, with cells of 2 voxels."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(4, 6, 3, padding=1), nn.ReLU(),
        nn.Upsample(scale_factor=2), nn.Conv3d(6, 3, 1),
    ).eval()  # fmt: skip


def whitened(volume):
    wide = volume.astype(np.float64)
    return torch.from_numpy((wide - wide.mean()) / wide.std()).float()[None, None]


@pytest.mark.parametrize(
    ("method", "where"),
    [
        ("hirescam", "image"),
        ("elementwise", "predicted"),
        ("layercam", camfast.predicted(0.34)),
        ("elementwise", "image"),
    ],
)
def test_blocks_are_the_whole_volume_at_once(labels_voxels, method, where):
    volume = density((32, 26, 40))
    explainer = camfast.Explainer(labels_voxels, "4", method)
    region = camfast.Region(2, where)
    found = scan(volume, explainer, window=(26, 26, 20), stride=(6, 10, 4), target=region, trunk="shared",
                 progress=False)  # fmt: skip
    whole = explainer(whitened(volume), region).maps[0]
    error = (found.cam - whole).abs().max() / whole.abs().max()
    assert error < 1e-5  # float32, summed in another order


def test_several_regions_and_scores(labels_voxels):
    volume = density((28, 24, 32))
    explainer = camfast.Explainer(labels_voxels, "4", "hirescam")
    regions = [camfast.Region(0, "image"), camfast.Region(2)]
    found = scan(volume, explainer, window=20, stride=4, target=regions, trunk="shared", progress=False)
    whole = explainer(whitened(volume), regions).maps[0]
    assert float((found.cam - whole).norm() / whole.norm()) < 1e-5
    with torch.no_grad():
        expected = labels_voxels(whitened(volume)[:, :, :20, :20, :20]).mean((2, 3, 4))[0]
    torch.testing.assert_close(found.scores[0, 0, 0], expected, rtol=1e-4, atol=1e-5)


def test_a_region_that_a_window_has_nothing_of_has_no_map_there(labels_voxels):
    volume = density((24, 24, 40))
    explainer = camfast.Explainer(labels_voxels, "4", "hirescam")
    never = camfast.Region(1, camfast.predicted(0.999))
    found = scan(volume, explainer, window=24, stride=8, target=never, progress=False)
    assert float(found.cam.abs().max()) == 0


class Place(nn.Module):
    """Adds where in the window a voxel is."""

    def forward(self, x):
        return x + torch.arange(x.shape[-1], dtype=x.dtype)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"window": 20, "stride": 8}, "looks 4 voxels far, so blocks need a halo of 8 on each side; choose .* 24"),
        ({"window": 20, "stride": 3, "layer": "1.6"}, "from one window to the next, 3 × 3 × 3 voxels away"),
        ({"method": "gradcam"}, "a method that is local, one of hirescam"),
        ({"target": camfast.Region(0, (1, 2, 3))}, "the target is Region"),
        ({"normalize": "window"}, "normalize='window'"),
        ({"front": Place()}, "from one window to the next"),
        ({"front": nn.InstanceNorm3d(1)}, "depends on every voxel along z"),
    ],
)  # fmt: skip
def test_where_it_cannot_be_right_it_is_refused(labels_voxels, change, says):
    change = dict(change)
    front = change.pop("front", nn.Identity())
    method, layer = change.pop("method", "hirescam"), change.pop("layer", "1.4")
    explainer = camfast.Explainer(nn.Sequential(front, labels_voxels).eval(), layer, method)
    options = {"window": 20, "stride": 4, "target": camfast.Region(0, "image"), "trunk": "shared", **change}
    with pytest.raises(camfast.InputError, match=says):
        scan(density((24, 24, 28)), explainer, progress=False, **options)
