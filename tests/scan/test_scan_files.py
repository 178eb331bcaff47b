"""What a scan writes, and what it refuses."""

import numpy as np
import pytest
import torch
import zarr
from torch import nn

import camfast
from camfast.scan import Volume, read_volume
from camfast.scan.describing import describe
from camfast.scan.preparing import Asked
from camfast.scan.scanner import scan
from tests.scan.cases import STRIDE, WINDOW, density


def test_mrc_output_is_lazy_placed_like_the_input_and_byte_equal(explainer, tmp_path):
    source = Volume(density((13, 9, 17)), (10.52, 10.5, 10.48), (5.0, 6.0, 7.0), (1, -2, 3))
    options = {"window": WINDOW, "stride": STRIDE, "target": 2, "progress": False}
    result = scan(source, explainer, out=tmp_path / "a.mrc", **options)
    again = scan(source, explainer, out=tmp_path / "b.mrc", **options)
    assert result.path == tmp_path / "a.mrc"
    assert result.path.read_bytes() == again.path.read_bytes()
    np.testing.assert_array_equal(result.cam, scan(source, explainer, **options).cam.numpy())
    read = read_volume(result.path)
    np.testing.assert_allclose(read.voxel_angstrom, source.voxel_angstrom, rtol=1e-6)
    assert (read.origin, read.start) == (source.origin, source.start)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mrc", "b.mrc"]


def test_zarr_output_of_all_targets(explainer, tmp_path):
    source = Volume(density((13, 9, 17)), (10.0, 10.0, 10.0))
    options = {"window": WINDOW, "stride": STRIDE, "target": "all", "batch": 4, "progress": False}
    result = scan(source, explainer, out=tmp_path / "cam.zarr", **options)
    assert isinstance(result.cam, zarr.Array)
    np.testing.assert_array_equal(result.cam[...], scan(source, explainer, **options).cam.numpy())
    about = dict(zarr.open_group(result.path, mode="r").attrs)["camfast"]
    assert about == {**camfast.provenance(explainer, "all"), "window": [12, 8, 8], "stride": [8, 4, 8],
                     "blend": "center", "normalize": "volume", "invert": False, "masked": False,
                     "trunk": "exact", "batch": 4, "sum_to_score_residual": result.residual,
                     "labels": [f"class {i}" for i in range(5)], "version": camfast.__version__}  # fmt: skip
    assert (about["method"], about["layer"], about["target"]) == ("respond", "5", "all")


class Interrupt(nn.Module):
    """Passes two batches, then behaves like Ctrl-C."""

    def __init__(self, error):
        super().__init__()
        self.calls, self.error = 0, error

    def forward(self, x):
        self.calls += 1
        if self.calls > 2:
            raise self.error
        return x


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("broken"), MemoryError()])
@pytest.mark.parametrize("name", ["cam.mrc", "cam.zarr"])
def test_no_partial_output_after_an_interrupt(network, tmp_path, error, name):
    explainer = camfast.Explainer(nn.Sequential(*network[:6], Interrupt(error), *network[6:]), "5")
    with pytest.raises(type(error)):
        scan(density((24, 16, 16)), explainer, window=WINDOW, stride=STRIDE, target=2, batch=1, out=tmp_path / name,
             progress=False)  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_existing_output_needs_overwrite(explainer, tmp_path):
    path = tmp_path / "cam.mrc"
    path.write_bytes(b"precious")
    options = {"window": WINDOW, "stride": STRIDE, "target": 2, "progress": False, "out": path}
    with pytest.raises(camfast.InputError, match="exists already"):
        scan(density((12, 9, 8)), explainer, **options)
    assert path.read_bytes() == b"precious"
    scan(density((12, 9, 8)), explainer, overwrite=True, **options)
    assert read_volume(path).shape == (12, 9, 8)


def test_the_input_is_never_overwritten(explainer, tmp_path):
    path = tmp_path / "tomo.mrc"
    options = {"window": WINDOW, "stride": STRIDE, "target": 2, "progress": False, "out": path}
    scan(density((12, 9, 8)), explainer, **options)
    with pytest.raises(camfast.InputError, match="is the volume that is scanned"):
        scan(path, explainer, overwrite=True, **options)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"trunk": "fast"}, "trunk is 'fast'"),
        ({"trunk": "shared", "normalize": "window"}, "cannot be used with normalize='window'"),
        ({"max_memory": "1X"}, "max_memory is '1X', expected an amount such as '800M'"),
        ({"max_memory": "1M"}, "max_memory is 1M, and Python, torch and the network take"),
        ({"client": object()}, "give out= a name on a disk they share"),
        ({"also": ["scores"]}, "writes beside the map: give out= a name"),
        ({"also": ["heat"]}, "also is 'heat', expected one of scores, labels, picks, report"),
        ({"also": ["picks"], "out": "cam.zarr"}, "picks are written in ångström; say the voxel size with --apix"),
        ({"pick_distance": 0}, "pick_distance is 0"),
        ({"dtype": "int8"}, "dtype is 'int8', expected one of float32, float16"),
        ({"batch": 0}, "batch is 0"),
        ({"normalize": "minmax"}, "normalize is 'minmax'"),
        ({"blend": "median"}, "blend is 'median'"),
        ({"target": torch.tensor([1])}, "target is a tensor"),
        ({"target": 5}, "5"),
        ({"window": (12, 12, 8)}, "window of 12 voxels is larger than the volume"),
        ({"window": (12, 4, 8)}, "does not take a window of 12 × 4 × 8 voxels"),
        ({"stride": (6, 4, 8)}, "choose 4 or 8"),
        ({"mask": np.ones((2, 2, 2))}, "the mask has the shape"),
        ({"mask": np.zeros((12, 9, 8))}, "mask is 0 everywhere"),
        ({"mask": np.full((12, 9, 8), np.nan)}, r"voxel \(z, y, x\) = \(0, 0, 0\) is nan"),
        ({"out": "cam.tif"}, "name that ends in .mrc or .zarr"),
    ],
)
def test_bad_options_are_refused(explainer, change, says):
    options = {"window": WINDOW, "stride": STRIDE, "target": 2, "progress": False, **change}
    with pytest.raises(camfast.InputError, match=says):
        scan(density((12, 9, 8)), explainer, **options)


def test_several_targets_do_not_fit_an_mrc_file(explainer, tmp_path):
    with pytest.raises(camfast.InputError, match="an MRC file holds one volume"):
        scan(density((12, 9, 8)), explainer, window=WINDOW, stride=STRIDE, target="all", out=tmp_path / "cam.mrc")
    assert list(tmp_path.iterdir()) == []


def test_several_layers_are_refused(network):
    with pytest.raises(camfast.InputError, match="2 layers"):
        scan(density((12, 9, 8)), camfast.Explainer(network, ["4", "5"]), window=WINDOW, stride=STRIDE, target=2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_named(explainer, value):
    volume = density((12, 9, 8))
    volume[7, 3, 1] = volume[9, 0, 0] = value
    with pytest.raises(camfast.InputError, match=r"voxel \(z, y, x\) = \(7, 3, 1\) is (nan|inf)"):
        scan(volume, explainer, window=WINDOW, stride=STRIDE, target=2, normalize=None)


def test_a_constant_volume_is_refused_where_it_is_normalised(explainer):
    with pytest.raises(camfast.InputError, match=r"every voxel is 2"):
        scan(np.full((12, 9, 8), 2.0), explainer, window=WINDOW, stride=STRIDE, target=2)


def test_the_bar_counts_voxels(explainer, capsys):
    scan(density((13, 9, 17)), explainer, window=WINDOW, stride=STRIDE, target=2)
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert "1.99k/1.99k" in shown
    assert "voxel/s" in shown


def test_camfast_scan_is_the_function():
    assert camfast.scan is scan


def test_describe_counts_what_a_scan_would_take(explainer):
    volume = Volume(np.zeros((13, 9, 17), np.int16))
    facts = describe(Asked(volume, explainer, window=WINDOW, stride=STRIDE, target=2, batch=5))
    assert (facts["windows"], facts["passes"], facts["padded"]) == (12, 3, [20, 12, 24])
    assert (facts["input_bytes"], facts["cam_bytes_per_target"]) == (2 * 13 * 9 * 17, 4 * 13 * 9 * 17)


class Spoiled(nn.Module):
    """Turns one value in windows brighter than a threshold into NaN."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def forward(self, x):
        bright = x.amax(dim=tuple(range(1, x.ndim)), keepdim=True) > self.threshold
        return torch.where(bright, torch.nan, x)


@pytest.mark.parametrize("name", ["cam.mrc", "cam.zarr"])
def test_scores_that_are_not_finite_are_refused_by_window(network, tmp_path, name):
    volume = density((20, 8, 16))
    volume[9, 2, 14] = 1000.0
    explainer = camfast.Explainer(nn.Sequential(Spoiled(500.0), *network), "6", "respond")
    says = r"window at voxel \(z, y, x\) = \(0, 0, 8\): the network's scores are not finite"
    with pytest.raises(camfast.InputError, match=says):
        scan(volume, explainer, window=WINDOW, stride=STRIDE, target=2, normalize=None, out=tmp_path / name,
             progress=False)  # fmt: skip
    assert list(tmp_path.iterdir()) == []


class Rooted(nn.Module):
    """Finite forwards; its gradient is not, where the square root is taken of 0."""

    def forward(self, x):
        return torch.sqrt(0 * x) + x


def test_a_map_that_is_not_finite_though_the_scores_are(network, tmp_path):
    explainer = camfast.Explainer(nn.Sequential(*network[:6], Rooted(), *network[6:]), "5", "gradcam")
    with pytest.raises(camfast.InputError, match=r"= \(0, 0, 0\): the network's scores are finite, but the map is not"):
        scan(density((12, 9, 8)), explainer, window=WINDOW, stride=STRIDE, target=2, out=tmp_path / "cam.mrc",
             progress=False)  # fmt: skip
    assert list(tmp_path.iterdir()) == []


class Raises(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, _):
        raise self.error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ValueError("line one\nline two"), "the network Sequential raised ValueError: line one; it was given a window"),
        (KeyError("head"), "the network Sequential raised KeyError: 'head'"),
        (RuntimeError("no such size"), r"Sequential does not take a window of .* \(RuntimeError: no such size\)"),
    ],
)
def test_what_the_network_raises_is_said_to_be_the_networks(network, error, says):
    explainer = camfast.Explainer(nn.Sequential(*network, Raises(error)), "5", "respond")
    with pytest.raises(camfast.InputError, match=says):
        scan(density((12, 9, 8)), explainer, window=WINDOW, stride=STRIDE, target=2, progress=False)
