"""The shared trunk: the trunk of the whole padded volume, the head on its windows; refused where that is wrong."""

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.scan.scanner import scan
from camfast.scan.volumes import Volume
from camfast.scan.windows.density import Density
from camfast.scan.windows.exact import Exact
from camfast.scan.windows.lattice import lattice_of
from camfast.scan.windows.plan import plan_windows
from camfast.scan.windows.shared import Shared
from camfast.scan.windows.translation import halo_of
from tests.scan.cases import STRIDE, WINDOW, density

NEAR = 1e-5  # float32, convolutions of other sizes


def away(found, expected):
    left, right = (torch.as_tensor(one).double() for one in (found, expected))
    return float((left - right).norm() / right.norm())


def valid_network() -> nn.Sequential:
    """Windows of 20 voxels: 5 cells of 2 voxels, in front of the first of which are 5 voxels."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3), nn.ReLU(), nn.Conv3d(4, 4, 5), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(4, 5, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(5 * 5**3, 3),
    ).eval()  # fmt: skip


@pytest.mark.parametrize("method", ["respond", "gradcam", "hirescam", "eigencam"])
@pytest.mark.parametrize("upsample", [{}, {"upsample": "gaussian", "sigma": 3.0}])
def test_with_valid_convolutions_it_is_exact(method, upsample):
    explainer = camfast.Explainer(valid_network(), "6", method, **upsample)
    options = {"window": 20, "stride": (4, 6, 8), "target": [0, 2], "batch": 4, "progress": False}
    volume = density((33, 30, 41))
    exact, shared = (scan(volume, explainer, trunk=trunk, **options) for trunk in ("exact", "shared"))
    assert away(shared.cam, exact.cam) < NEAR
    assert away(shared.scores, exact.scores) < NEAR
    assert shared.difference.maps < NEAR
    assert shared.difference.same_class == 1
    assert exact.difference is None


def test_maps_of_valid_convolutions_lie_where_their_cells_are():
    """A network that adds up the middle of its window: one bright voxel has its map at that voxel."""
    network = nn.Sequential(nn.Conv3d(1, 1, 5, bias=False), nn.Identity(), nn.Flatten(), nn.Linear(8**3, 1, bias=False))
    nn.init.zeros_(network[0].weight)
    nn.init.ones_(network[3].weight)
    network[0].weight.data[0, 0, 2, 2, 2] = 1.0
    volume = np.zeros((24, 24, 24), np.float32)
    volume[9, 14, 11] = 1.0
    explainer = camfast.Explainer(network, "1", "hirescam")
    for trunk in ("exact", "shared"):
        cam = scan(volume, explainer, window=12, stride=4, target=0, normalize=None, trunk=trunk, progress=False).cam
        assert np.unravel_index(int(cam.argmax()), cam.shape) == (9, 14, 11)


@pytest.mark.parametrize("tile", [1 << 20, 500, 60])
@pytest.mark.parametrize("brick", [16, 256])
def test_it_is_the_trunk_of_the_whole_volume(explainer, network, monkeypatch, tile, brick):
    from camfast.scan import preparing
    from camfast.scan.windows.sizes import Sizes

    monkeypatch.setattr(preparing, "choose", lambda *_: Sizes(3, brick, tile))
    volume = density((29, 20, 33))
    result = scan(
        volume, explainer, window=WINDOW, stride=STRIDE, target=1, trunk="shared", blend="mean", progress=False
    )
    plan = plan_windows(volume.shape, WINDOW, STRIDE)
    wide = volume.astype(np.float64)
    wide = (wide - wide.mean()) / wide.std()
    wide = np.pad(wide, [(0, p - n) for p, n in zip(plan.padded, volume.shape, strict=True)], mode="reflect")
    with torch.no_grad():
        features = network[:6](torch.from_numpy(wide).float()[None, None])
    head = camfast.Explainer(nn.Sequential(nn.Identity(), network[6:]), "0", "respond", size="grid")
    total, weight = torch.zeros(features.shape[2:], dtype=torch.float64), torch.zeros(features.shape[2:])
    for index in np.ndindex(plan.counts):
        cells = tuple(slice(i * s // 4, i * s // 4 + w // 4) for i, s, w in zip(index, STRIDE, WINDOW, strict=True))
        found = head(features[(slice(None), slice(None), *cells)], 1)
        total[cells] += found.maps[0]
        weight[cells] += 1
        torch.testing.assert_close(result.scores[index], found.scores[0], rtol=1e-4, atol=1e-5)
    grid = (total / weight).float()[None, None]
    fine = nn.functional.interpolate(grid, scale_factor=4, mode="trilinear")[0, 0]
    assert away(result.cam, fine[: volume.shape[0], : volume.shape[1], : volume.shape[2]]) < NEAR


def test_the_difference_is_true_for_trained_weights():
    """Recomputed window by window, of those that are compared."""
    loaded = camfast.models.load("subtomogram_demo")
    explainer = camfast.Explainer(loaded.module, "maxpool2", "respond")
    volume = camfast.simulate.tomogram((48, 56, 64), 6, seed=1, snr=2.0).data
    result = scan(volume, explainer, window=32, stride=8, target=2, trunk="shared", batch=8, progress=False)
    from camfast.scan.windows.difference import drawn

    plan = plan_windows(volume.shape, 32, 8)
    lattice = lattice_of(plan, (4, 4, 4))
    chosen = drawn(plan.counts, None)
    assert result.difference.windows == chosen.sum() >= 8
    wide = volume.astype(np.float64)
    wide = torch.from_numpy((wide - wide.mean()) / wide.std()).float()
    trunk, head = camfast.split(loaded.module, "maxpool2", torch.zeros(1, 1, 32, 32, 32))
    with torch.no_grad():
        features = trunk(wide[None, None])
    on_features = camfast.Explainer(nn.Sequential(nn.Identity(), head), "0", "respond", size="grid")
    maps, scores, worst, same = np.zeros(2), np.zeros(2), 0.0, 0
    for index in np.argwhere(chosen):
        z, y, x = index * 8
        a, b, c = index * 8 // np.array(lattice.cell)
        exact = explainer.replace(size="grid")(wide[None, None, z : z + 32, y : y + 32, x : x + 32], 2)
        shared = on_features(features[:, :, a : a + 4, b : b + 4, c : c + 4], 2)
        one = [float((shared.maps - exact.maps).square().sum()), float(exact.maps.square().sum())]
        maps += one
        worst = max(worst, (one[0] / one[1]) ** 0.5)
        scores += [float((shared.scores - exact.scores).square().sum()), float(exact.scores.square().sum())]
        same += int(shared.scores.argmax() == exact.scores.argmax())
    assert result.difference.maps == pytest.approx((maps[0] / maps[1]) ** 0.5, rel=1e-3)
    assert result.difference.worst == pytest.approx(worst, rel=1e-3)
    assert result.difference.scores == pytest.approx((scores[0] / scores[1]) ** 0.5, rel=1e-3)
    assert result.difference.same_class == same / chosen.sum()


@pytest.mark.parametrize(
    ("layers", "before", "behind"),
    [
        ([nn.Conv3d(1, 2, 3, padding=1)], 1, 1),
        ([nn.Conv3d(1, 2, 5)], 0, 4),
        ([nn.Conv3d(1, 2, 3, padding=1), nn.MaxPool3d(2), nn.Conv3d(2, 2, 3, padding=1)], 2, 2),
        ([nn.Conv3d(1, 2, 3, padding=2, dilation=2)], 2, 2),
        ([nn.AvgPool3d(4)], 0, 0),
    ],
)
def test_how_far_a_trunk_looks(layers, before, behind):
    trunk = nn.Sequential(*layers).eval()
    with torch.no_grad():
        grid = trunk(torch.zeros(1, 1, 16, 16, 16)).shape[2:]
    centres = camfast.receptive_field_centres(trunk, str(len(layers) - 1), torch.zeros(1, 1, 16, 16, 16))
    lattice = lattice_of(plan_windows((32, 32, 32), 16, 8), grid, centres)
    assert halo_of(trunk, lattice) == ((before,) * 3, (behind,) * 3)


class SqueezeExcite(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x.mean((2, 3, 4), keepdim=True))


class Positions(nn.Module):
    def forward(self, x):
        return x + torch.arange(x.shape[-1], dtype=x.dtype)


class Table(nn.Module):
    """Positions that were learned for windows of one size."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(1, 1, *WINDOW))

    def forward(self, x):
        return x + self.table


class Skips(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.front, self.back = network[:6], network[6:]

    def forward(self, x):
        return self.back(self.front(x)) + x.mean()


@pytest.mark.parametrize(
    ("front", "says"),
    [
        (nn.InstanceNorm3d(1), "depends on every voxel along z"),
        (SqueezeExcite(), "depends on every voxel along z"),
        (Positions(), "when the window is moved, as with tables of positions"),
        (Table(), "does not take a piece of"),
        (nn.Conv3d(1, 1, 3, padding=1, padding_mode="circular"), "at the volume's border changes by"),
    ],
)
def test_trunks_that_windows_cannot_share_are_refused(network, front, says):
    explainer = camfast.Explainer(nn.Sequential(front, *network).eval(), "6", "respond")
    with pytest.raises(camfast.InputError, match=f"trunk='shared' cannot be used.*{says}.*use trunk='exact'"):
        scan(density((24, 16, 24)), explainer, window=WINDOW, stride=STRIDE, target=1, trunk="shared", progress=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"normalize": "window"}, "normalize='window'"),
        ({"stride": (8, 6, 8)}, "stride of 6 voxels along y is no multiple of the layer's cell of 4"),
        ({"target": camfast.Unit("7", 1)}, "unit of another layer"),
    ],
)
def test_options_that_windows_cannot_share_are_refused(explainer, change, says):
    options = {"window": WINDOW, "stride": STRIDE, "target": 1, "trunk": "shared", "progress": False, **change}
    with pytest.raises(camfast.InputError, match=says):
        scan(density((24, 16, 24)), explainer, **options)


def test_models_that_cannot_be_cut_and_explainers_with_hooks_of_their_own_are_refused(network):
    options = {"window": WINDOW, "stride": STRIDE, "target": 1, "trunk": "shared", "progress": False}
    with pytest.raises(camfast.InputError, match=r"trunk='shared' cannot be used: .*mean.*or use trunk='exact'"):
        scan(density((24, 16, 24)), camfast.Explainer(Skips(network).eval(), "front.5", "respond"), **options)
    reshaped = camfast.Explainer(network, "5", "respond", reshape=lambda x: x * 1)
    with pytest.raises(camfast.InputError, match="reshape= of the explainer"):
        scan(density((24, 16, 24)), reshaped, **options)


def test_nothing_of_the_model_is_changed(network):
    volume = Volume(density((24, 16, 24)))
    plan = plan_windows(volume.shape, WINDOW, STRIDE)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    Shared(
        camfast.Explainer(network, "5", "respond"), Density(volume, "volume"), lattice_of(plan, (3, 2, 2)), 1,
        np.zeros(plan.counts, bool),
    )  # fmt: skip
    Exact(camfast.Explainer(network, "5", "respond"), Density(volume, "volume"), plan, 1)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
