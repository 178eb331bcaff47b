"""However a scan is cut into pieces, the map is that of the whole grid, upsampled at once."""

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.scan import read_volume
from camfast.scan.scanner import scan
from camfast.scan.tasks.assembly import Upsampler
from tests.scan.cases import STRIDE, WINDOW, cut_small, density

SHAPE = (21, 17, 27)
NEAR = 1e-6  # of the largest value: float32, and a position in a block that isn't the one in the volume


def away(found, expected):
    found, expected = (np.asarray(one, np.float64) for one in (found, expected))
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def scanned(monkeypatch, explainer, sizes=None, **changes):
    """Scan in pieces of these sizes; None: those that a scan would choose, larger than the volume."""
    options = {"window": WINDOW, "stride": STRIDE, "target": 2, "batch": 4, "progress": False, **changes}
    with monkeypatch.context() as patch:
        if sizes is not None:
            cut_small(patch.setattr, **sizes)
        return scan(options.pop("volume", density(SHAPE)), explainer, **options)


MASK = np.zeros(SHAPE, np.float32)
MASK[16:, 3:6, 4:22] = 1

PIECES = [{"brick": 8, "block": 8}, {"brick": 16, "block": 32}, {"brick": 12, "block": 16}]


@pytest.mark.parametrize("sizes", PIECES[:2])
@pytest.mark.parametrize("trunk", ["exact", "shared"])
@pytest.mark.parametrize(
    "changes",
    [
        {"blend": "center"},
        {"blend": "mean", "target": [3, 0]},
        {"blend": "max", "target": "all"},
        {"blend": "sum", "target": "predicted"},
        {"mask": MASK},
        {"mask": MASK, "blend": "max"},
    ],
)
def test_pieces_leave_no_trace(monkeypatch, explainer, tmp_path, sizes, trunk, changes):
    whole = scanned(monkeypatch, explainer, trunk=trunk, **changes)
    pieces = scanned(monkeypatch, explainer, sizes, trunk=trunk, out=tmp_path / "cam.zarr", **changes)
    # sums are in float64; the network itself may differ in the last bits where a pass has other windows
    assert away(pieces.cam[...], whole.cam) < 1e-5
    assert float(whole.cam.abs().max()) > 0
    torch.testing.assert_close(pieces.scores, whole.scores, rtol=1e-5, atol=1e-5, equal_nan=True)
    assert pieces.residual == pytest.approx(whole.residual, rel=1e-3, abs=1e-6)
    if trunk == "shared":
        assert pieces.difference.maps == pytest.approx(whole.difference.maps, rel=1e-4)
        assert pieces.difference.windows == whole.difference.windows


@pytest.mark.parametrize("trunk", ["exact", "shared"])
@pytest.mark.parametrize("sizes", [None, {"brick": 8, "block": 16}])
@pytest.mark.parametrize("upsample", [{}, {"upsample": "gaussian", "sigma": (3.0, 4.0, 2.5)}])
def test_with_the_same_sizes_memory_and_files_hold_the_same_bits(
    monkeypatch, explainer, tmp_path, trunk, sizes, upsample
):
    own = explainer.replace(**upsample)
    expected = scanned(monkeypatch, own, sizes, trunk=trunk).cam.numpy()
    for name in ("cam.mrc", "cam.zarr"):
        result = scanned(monkeypatch, own, sizes, trunk=trunk, out=tmp_path / name)
        np.testing.assert_array_equal(result.cam[...], expected)
        np.testing.assert_array_equal(read_volume(tmp_path / name).data[...], expected)
        half = scanned(monkeypatch, own, sizes, trunk=trunk, out=tmp_path / f"half.{name}", dtype="float16")
        assert half.cam.dtype == np.float16
        np.testing.assert_array_equal(half.cam[...], expected.astype(np.float16))


def grid_of(monkeypatch, explainer, **changes):
    """The blended grid of a scan whose map is one block, float64."""
    grids, upsample = [], Upsampler.upsample

    def kept(self, grid, cells, voxels):
        grids.append((grid, cells))
        return upsample(self, grid, cells, voxels)

    with monkeypatch.context() as patch:
        patch.setattr(Upsampler, "upsample", kept)
        scanned(monkeypatch, explainer, **changes)
    (grid, cells), *more = grids
    assert not more
    assert all(axis.start == 0 for axis in cells)
    return grid


@pytest.mark.parametrize("sizes", PIECES)
@pytest.mark.parametrize("gain", ["spray", "average", "mass"])
@pytest.mark.parametrize("centres", [None, ((1.0, 4.0), (1.5, 4.0), (2.5, 4.0))])
def test_gaussians_of_the_whole_grid(monkeypatch, network, tmp_path, sizes, gain, centres):
    sigma = (3.0, 5.0, 2.5)
    explainer = camfast.Explainer(network, "5", "respond", upsample="gaussian", sigma=sigma, gain=gain, centres=centres)
    grid = grid_of(monkeypatch, explainer).numpy()
    for axis, (start, step) in enumerate(centres or [(1.5, 4.0)] * 3):
        centre = start + step * np.arange(grid.shape[axis])
        taps = np.exp(-0.5 * ((np.arange(4 * grid.shape[axis])[:, None] - centre) / sigma[axis]) ** 2)
        if gain == "average":
            taps /= taps.sum(1, keepdims=True)
        if gain == "mass":
            taps /= taps.sum(0)
        grid = np.moveaxis(np.tensordot(taps, grid, (1, axis)), 0, axis)
    found = scanned(monkeypatch, explainer, sizes, out=tmp_path / "cam.mrc")
    assert away(found.cam, grid[tuple(slice(n) for n in SHAPE)]) < NEAR


@pytest.mark.parametrize("sizes", PIECES)
@pytest.mark.parametrize("trunk", ["exact", "shared"])
def test_linear_of_the_whole_grid_where_cells_do_not_tile_the_window(monkeypatch, tmp_path, sizes, trunk):
    """Valid convolutions: 10 cells of 3 voxels, in front of which are 2 voxels that belong to no cell."""
    torch.manual_seed(0)
    valid = nn.Sequential(
        nn.Conv3d(1, 3, 5), nn.ReLU(), nn.AvgPool3d(3), nn.Flatten(), nn.Linear(3 * 4**3, 3)
    ).eval()  # fmt: skip
    explainer = camfast.Explainer(valid, "2", "respond")
    changes = {"window": 16, "stride": 6, "trunk": trunk}
    grid = grid_of(monkeypatch, explainer, **changes)
    size = [3 * n for n in grid.shape]
    fine = nn.functional.interpolate(grid[None, None].double(), size=size, mode="trilinear")[0, 0].numpy()
    more = [max(0, n - 2 - f) for n, f in zip(SHAPE, fine.shape, strict=True)]
    expected = np.pad(fine, [(2, m) for m in more], mode="edge")[tuple(slice(n) for n in SHAPE)]
    found = scanned(monkeypatch, explainer, sizes, out=tmp_path / "cam.mrc", **changes)
    assert away(found.cam, expected) < NEAR
    exact = scanned(monkeypatch, explainer, **{**changes, "trunk": "exact"})
    assert away(found.cam, exact.cam) < 1e-5  # nothing is padded, so nothing differs but the order of sums
