"""A scan is: every window by itself, blended on the grid in float64, upsampled once."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.scan import Volume, write_volumes
from camfast.scan.scanner import scan
from camfast.scan.windows.plan import plan_windows
from tests.scan.cases import CELL, STRIDE, WINDOW, density


def naive_grid(volume, explainer, target, blend, normalize="volume", sign=1.0):
    """The blended grid by loops over windows and cells, nothing shared with the scanner."""
    x = volume.astype(np.float64)
    if normalize == "volume":
        x = (x - x.mean()) / x.std()
    steps = []
    for n, w, s in zip(x.shape, WINDOW, STRIDE, strict=True):
        steps.append([0])
        while steps[-1][-1] + w < n:
            steps[-1].append(steps[-1][-1] + s)
    ends = [r[-1] + w for r, w in zip(steps, WINDOW, strict=True)]
    x = np.pad(x, [(0, end - n) for end, n in zip(ends, x.shape, strict=True)], mode="reflect")
    sums, weights, largest = {}, {}, {}
    for z, y, c in itertools.product(*steps):
        window = x[z : z + WINDOW[0], y : y + WINDOW[1], c : c + WINDOW[2]]
        if normalize == "window":
            window = (window - window.mean()) / window.std()
        inputs = torch.from_numpy(sign * window)[None, None].float()
        grid = explainer.replace(size="grid")(inputs, target).grid[0].double().numpy()
        h = grid.shape[-3:]
        for i, j, k in itertools.product(*(range(n) for n in h)):
            weight = 1.0
            if blend == "center":
                weight = np.prod([np.sin(np.pi * (q + 0.5) / n) ** 2 for q, n in zip((i, j, k), h, strict=True)])
            cell = (z // CELL + i, y // CELL + j, c // CELL + k)
            value = grid[..., i, j, k]
            sums[cell] = sums.get(cell, 0.0) + weight * value
            weights[cell] = weights.get(cell, 0.0) + weight
            largest[cell] = np.maximum(largest.get(cell, -np.inf), value)
    out = np.zeros((*grid.shape[:-3], *(end // CELL for end in ends)))
    for cell in sums:
        out[(..., *cell)] = {
            "center": sums[cell] / weights[cell],
            "mean": sums[cell] / weights[cell],
            "sum": sums[cell],
            "max": largest[cell],
        }[blend]
    return out


def upsampled(grid, shape):
    coarse = torch.from_numpy(grid).reshape(1, -1, *grid.shape[-3:])
    size = [n * CELL for n in grid.shape[-3:]]
    fine = nn.functional.interpolate(coarse, size=size, mode="trilinear", align_corners=False)[0].numpy()
    fine = fine[:, : shape[0], : shape[1], : shape[2]]
    return fine.reshape(*grid.shape[:-3], *shape)


def close(found, expected, tolerance=1e-5):
    assert tuple(found.shape) == expected.shape
    error = np.linalg.norm(np.asarray(found, np.float64) - expected) / np.linalg.norm(expected)
    assert error < tolerance


@pytest.mark.parametrize("blend", ["center", "mean", "sum", "max"])
@pytest.mark.parametrize("shape", [(12, 8, 8), (13, 9, 17), (28, 11, 15)])
def test_equals_windows_one_by_one(explainer, blend, shape):
    volume = density(shape)
    result = scan(volume, explainer, window=WINDOW, stride=STRIDE, target=2, blend=blend, progress=False)
    close(result.cam, upsampled(naive_grid(volume, explainer, 2, blend), shape))
    assert result.cam.dtype == torch.float32
    assert result.path is None


@pytest.mark.parametrize("target", ["predicted", "all", [3, 0]])
def test_targets(explainer, network, target):
    volume = density((13, 9, 17))
    result = scan(volume, explainer, window=WINDOW, stride=STRIDE, target=target, progress=False)
    close(result.cam, upsampled(naive_grid(volume, explainer, target, "center"), volume.shape))


@pytest.mark.parametrize("normalize", ["window", None])
@pytest.mark.parametrize("invert", [False, True])
def test_normalisation_and_contrast(explainer, normalize, invert):
    volume = density((12, 12, 8))
    result = scan(
        volume, explainer, window=WINDOW, stride=STRIDE, target=1, normalize=normalize, invert=invert, progress=False
    )
    expected = naive_grid(volume, explainer, 1, "center", normalize, -1.0 if invert else 1.0)
    close(result.cam, upsampled(expected, volume.shape))


def test_gaussian_upsampling_of_the_whole_grid(network):
    sigma = (3.0, 4.0, 5.0)
    explainer = camfast.Explainer(network, "5", "respond", upsample="gaussian", sigma=sigma)
    volume = density((13, 9, 17))
    grid = naive_grid(volume, explainer, 2, "center")
    for axis, s in enumerate(sigma):
        centres = (np.arange(grid.shape[axis]) + 0.5) * CELL - 0.5
        pixels = np.arange(grid.shape[axis] * CELL)
        taps = np.exp(-((pixels[:, None] - centres) ** 2) / (2 * s**2))
        grid = np.moveaxis(np.tensordot(taps, grid, axes=(1, axis)), 0, axis)
    result = scan(volume, explainer, window=WINDOW, stride=STRIDE, target=2, progress=False)
    close(result.cam, grid[:13, :9, :17])


def test_scores_are_those_of_the_windows(explainer, network):
    volume = density((13, 9, 17))
    scores = scan(volume, explainer, window=WINDOW, stride=STRIDE, target=2, progress=False).scores
    assert scores.shape == (2, 2, 3, 5)
    x = (volume.astype(np.float64) - volume.mean(dtype=np.float64)) / volume.std(dtype=np.float64)
    x = np.pad(x, [(0, 7), (0, 3), (0, 7)], mode="reflect")
    for i, j, k in np.ndindex(2, 2, 3):
        window = x[8 * i : 8 * i + 12, 4 * j : 4 * j + 8, 8 * k : 8 * k + 8]
        with torch.no_grad():
            expected = network(torch.from_numpy(window).float()[None, None])[0]
        torch.testing.assert_close(scores[i, j, k], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_does_not_depend_on_the_batch_size(explainer, batch):
    volume = density((20, 16, 24))
    options = {"window": WINDOW, "stride": STRIDE, "target": "all", "progress": False}
    close(scan(volume, explainer, batch=batch, **options).cam, scan(volume, explainer, **options).cam.double().numpy())


def test_every_pass_has_the_same_size(explainer, network):
    sizes = []
    handle = network.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    scan(density((13, 9, 17)), explainer, window=WINDOW, stride=STRIDE, target=2, batch=5, progress=False)
    handle.remove()
    assert sizes == [1, 1, 1, 5, 5, 5]  # windows of noise: shapes, places of cells, operations; then 12 windows


def test_equal_runs_give_equal_bits(explainer):
    volume = density((13, 9, 17))
    first, second = (
        scan(volume, explainer, window=WINDOW, stride=STRIDE, target="all", progress=False).cam for _ in range(2)
    )
    assert torch.equal(first, second)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float64, ">f4"])
def test_types_of_data(explainer, dtype):
    volume = (density((12, 9, 8)) * 3).astype(dtype)
    result = scan(volume, explainer, window=WINDOW, stride=STRIDE, target=2, progress=False)
    close(result.cam, upsampled(naive_grid(volume.astype(np.float64), explainer, 2, "center"), volume.shape))


def test_tensors_and_sliced_arrays(explainer):
    volume = density((24, 18, 16))[::2, ::2, ::-1]
    options = {"window": WINDOW, "stride": STRIDE, "target": 2, "progress": False}
    plain = scan(np.ascontiguousarray(volume), explainer, **options).cam
    assert torch.equal(scan(volume, explainer, **options).cam, plain)
    assert torch.equal(scan(torch.from_numpy(volume.copy()), explainer, **options).cam, plain)


def test_the_callers_array_is_not_changed(explainer):
    volume = density((12, 9, 8))
    before = volume.copy()
    scan(volume, explainer, window=WINDOW, stride=STRIDE, target=2, progress=False)
    np.testing.assert_array_equal(volume, before)


def test_a_mask_leaves_windows_out(explainer):
    volume = density((20, 16, 24))
    mask = np.zeros(volume.shape, np.uint8)
    mask[:9, :5, :7] = 1
    result = scan(volume, explainer, window=WINDOW, stride=STRIDE, target=2, blend="mean", mask=mask, progress=False)
    done = ~torch.isnan(result.scores[..., 0])
    plan = plan_windows(volume.shape, WINDOW, STRIDE)
    assert done.numpy().tolist() == plan.touching([(tuple(slice(0, n) for n in mask.shape), mask != 0)]).tolist()
    assert 0 < done.sum() < done.numel()
    far = result.cam[-1, -1, -1]
    assert far == 0
    everything = scan(volume, explainer, window=WINDOW, stride=STRIDE, target=2, blend="mean", progress=False)
    assert torch.equal(result.scores[done], everything.scores[done])


def test_a_constant_window_becomes_0(explainer):
    volume = density((12, 16, 8))
    volume[:, :8] = 4.0
    result = scan(volume, explainer, window=WINDOW, stride=STRIDE, target=2, normalize="window", progress=False)
    assert torch.isfinite(result.cam).all()


def test_ill_conditioned_windows_are_reported_once(network):
    centred = nn.Sequential(*network[:4], nn.InstanceNorm3d(6), *network[4:]).eval()
    explainer = camfast.Explainer(centred, "4", "respond")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scan(density((24, 9, 8)), explainer, window=WINDOW, stride=STRIDE, target=2, batch=1, progress=False)
    (warning,) = caught
    assert "in 6 of 6 windows" in str(warning.message)


def test_every_kind_of_source_gives_the_same_map(explainer, tmp_path):
    volume = density((13, 9, 17))
    options = {"window": WINDOW, "stride": STRIDE, "target": 2, "progress": False}
    expected = scan(volume, explainer, **options).cam
    for name in ("tomo.mrc", "tomo.zarr"):
        write_volumes(tmp_path / name, [volume], Volume(volume))
        assert torch.equal(scan(tmp_path / name, explainer, **options).cam, expected)
        assert torch.equal(scan(str(tmp_path / name), explainer, **options).cam, expected)


def test_a_graph_kept_by_the_explainer_is_left_behind(explainer):
    volume = density((12, 9, 8))
    options = {"window": WINDOW, "stride": STRIDE, "target": 2, "progress": False}
    result = scan(volume, explainer.replace(create_graph=True), **options)
    assert not result.cam.requires_grad
    close(result.cam, scan(volume, explainer, **options).cam.double().numpy())


@pytest.mark.parametrize("blend", ["center", "mean", "max"])
def test_the_map_is_where_the_thing_is(blend):
    """A network that adds up what it sees: its map has to be the volume itself, seen through cells of 4 voxels."""
    network = nn.Sequential(nn.AvgPool3d(4), nn.Identity(), nn.Flatten(), nn.Linear(18, 1, bias=False))
    nn.init.ones_(network[-1].weight)
    volume = density((23, 18, 31))
    options = {"window": (12, 8, 12), "stride": (4, 8, 8), "target": 0, "normalize": None, "blend": blend}
    cam = scan(volume, camfast.Explainer(network, "1", "hirescam"), progress=False, **options).cam
    padded = np.pad(volume.astype(np.float64), [(0, 1), (0, 6), (0, 5)], mode="reflect")
    cells = padded.reshape(6, 4, 6, 4, 9, 4).mean((1, 3, 5))
    close(cam, upsampled(cells, volume.shape), 1e-6)
