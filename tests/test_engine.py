"""`cam`, `Explainer` and `Explanation`: batches, sizes, upsampling, layers and options."""

import inspect

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import camfast
from tests import oracle
from tests.capture.networks import CHANNELS, images, sequential

METHODS = [name for name in camfast.methods() if name != "cam"]  # the head here is none that it knows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_equals_its_samples(dtype: torch.dtype) -> None:
    model, x = sequential(nn.BatchNorm2d(CHANNELS)).eval().to(dtype), images(5).to(dtype)
    for method in METHODS:
        explainer = camfast.Explainer(model, "1", method, size="grid")
        together = explainer(x, "all").maps
        alone = torch.cat([explainer(sample[None], "all").maps for sample in x])
        assert oracle.relative_error(together, alone) < (1e-5 if dtype == torch.float32 else 1e-12)


def test_an_empty_batch() -> None:
    for target, shape in ((1, (0, 8, 8)), ("all", (0, 5, 8, 8)), ("predicted", (0, 8, 8))):
        for method in METHODS:
            options = {"sigma": 2.0} if method == "extended" else {}
            assert camfast.cam(sequential(), images(0), "1", target, method=method, **options).shape == shape


def test_sizes() -> None:
    model, x = sequential(nn.AvgPool2d(2), nn.Upsample(scale_factor=2)), images()
    grid = oracle.grid(model, x, "2", 1)
    for size, expected in (
        (None, F.interpolate(grid[:, None], (8, 8), mode="bilinear")[:, 0]),
        ((8, 8), F.interpolate(grid[:, None], (8, 8), mode="bilinear")[:, 0]),
        ([13, 3], F.interpolate(grid[:, None], (13, 3), mode="bilinear")[:, 0]),
        ("grid", grid),
    ):
        result = camfast.Explainer(model, "2", relu=False, size=size)(x, 1)  # type: ignore[arg-type]
        assert oracle.relative_error(result.maps, expected) < 1e-12
        assert oracle.relative_error(result.grid, grid) < 1e-12
    for wrong, found in (("input", "'input'"), (8, "8"), ((8, 8.5), r"\(8, 8.5\)"), ((8, None), r"\(8, None\)")):
        with pytest.raises(
            ValueError, match=f"size must be None, 'grid' or one whole number a spatial axis, found {found}"
        ):
            camfast.cam(model, x, "2", size=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"size must be positive along each axis, found \(-1, 8\)"):
        camfast.cam(model, x, "2", size=(-1, 8))
    with pytest.raises(ValueError, match=r"size=\(8,\) has 1 axes, the grid 2"):
        camfast.cam(model, x, "2", size=(8,))


def test_gaussians() -> None:
    model, x = sequential(nn.AvgPool2d(2), nn.Upsample(scale_factor=2)), images()
    grid = oracle.grid(model, x, "2", 1, "extended")
    pixels, cells = torch.arange(8.0).double(), torch.arange(4).double() * 2 + 0.5
    taps = [torch.exp(-((pixels[:, None] - cells) ** 2) / (2 * sigma**2)) for sigma in (1.5, 2.5)]
    expected = torch.einsum("nij,hi,wj->nhw", grid, *taps)
    assert oracle.relative_error(camfast.cam(model, x, "2", 1, method="extended", sigma=(1.5, 2.5)), expected) < 1e-6
    with pytest.raises(ValueError, match=r"needs sigma=.*effective_receptive_field.*upsample='linear'"):
        camfast.cam(model, x, "2", method="extended")
    assert oracle.relative_error(camfast.cam(model, x, "2", 1, method="extended", size="grid"), grid) < 1e-12
    linear = F.interpolate(grid[:, None], (8, 8), mode="bilinear")[:, 0]
    assert oracle.relative_error(camfast.cam(model, x, "2", 1, method="extended", upsample="linear"), linear) < 1e-12
    for options, message in (
        ({"sigma": 2.0}, "sigma and centres belong to upsample='gaussian'"),
        ({"method": "extended", "sigma": "wide"}, "sigma must be in pixels.*found 'wide'.*effective_receptive_field"),
        ({"upsample": "cubic"}, "upsample must be one of linear, gaussian, found 'cubic'"),
        ({"upsample": "gaussian", "sigma": 2.0, "gain": "loud"}, "gain must be one of spray, average, mass"),
        ({"upsample": "gaussian", "sigma": (1.0, 2.0, 3.0)}, "sigma must be one number or 2"),
        ({"upsample": "gaussian", "sigma": -1.0}, "sigma must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            camfast.cam(model, x, "2", **options)  # type: ignore[arg-type]


def test_out() -> None:
    model, x = sequential(), images()
    explainer = camfast.Explainer(model, "1")
    for target, shape in ((1, (2, 8, 8)), ("all", (2, 5, 8, 8))):
        out = torch.full(shape, torch.nan, dtype=torch.float64)
        assert explainer(x, target, out=out).maps is out  # type: ignore[arg-type]
        assert torch.equal(out, explainer(x, target).maps)  # type: ignore[arg-type]
    wide = torch.full((2, 9, 8, 8), torch.nan, dtype=torch.float64)
    explainer(x, "all", out=wide[:, 2:7])
    assert torch.equal(wide[:, 2:7], explainer(x, "all").maps)
    assert wide[:, :2].isnan().all()
    assert wide[:, 7:].isnan().all()
    for wrong, error, message in (
        (wide, ValueError, r"out must have the shape \(2, 5, 8, 8\), found \(2, 9, 8, 8\)"),
        (out[:, :3], ValueError, r"found \(2, 3, 8, 8\)"),
        (out.float(), TypeError, r"out must be torch.float64"),
        (out.clone().requires_grad_(), ValueError, r"out requires grad"),
        (out.transpose(2, 3), ValueError, r"out must be contiguous in its last 2 axes"),
        (out[:, :1].expand(2, 5, 8, 8), ValueError, r"out must be contiguous"),
        ("a", TypeError, r"out must be a torch tensor, found str"),
    ):
        with pytest.raises(error, match=message):
            explainer(x, "all", out=wrong)  # type: ignore[arg-type]
    for other in (camfast.Explainer(model, ["1", "0"]), explainer.replace(create_graph=True)):
        with pytest.raises(ValueError, match="out= holds the maps of a single layer, without a graph"):
            other(x, "all", out=out)


def test_several_layers_at_one_size() -> None:
    model, x = sequential(nn.Sequential(nn.AvgPool2d(2), nn.Upsample(scale_factor=2))), images()
    layers = ["1", "2.0"]
    apart = camfast.Explainer(model, layers, "layercam")(x, "all")
    assert apart.grid["2.0"].shape == (2, 5, 4, 4)
    for name in layers:
        alone = camfast.Explainer(model, name, "layercam")(x, "all")
        for field in ("maps", "grid", "residual", "empty", "ill_conditioned"):
            torch.testing.assert_close(getattr(apart, field)[name], getattr(alone, field), rtol=1e-12, atol=1e-14)
    stacked = torch.stack([apart.maps[name] for name in layers])
    for fuse, expected in (("mean", stacked.mean(0)), ("max", stacked.amax(0))):
        fused = camfast.Explainer(model, layers, "layercam", fuse=fuse)(x, "all")  # type: ignore[arg-type]
        assert oracle.relative_error(fused.maps, expected) < 1e-12
        assert set(fused.grid) == set(layers)
    with pytest.raises(ValueError, match="fuse must be None, 'mean' or 'max', found 'sum'"):
        camfast.Explainer(model, layers, fuse="sum")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="fuse needs maps of one size"):
        camfast.Explainer(model, layers, fuse="max", size="grid")


def test_replace() -> None:
    model, x = sequential(), images()
    first = camfast.Explainer(model, "1", "respond", size="grid", call=0)
    second = first.replace(method="hirescam", relu=False, layer=["0", "1"])
    assert (first.method, first.layer, first.relu) == ("respond", "1", False)
    assert (second.method, second.layer, second.options.call, second.size) == ("hirescam", ("0", "1"), 0, "grid")
    assert torch.equal(second.replace(layer="1", method="respond")(x, 1).maps, first(x, 1).maps)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        first.replace(colour="red")
    gaussian = camfast.Explainer(model, "1", "extended", size="grid")
    with pytest.raises(ValueError, match="needs sigma="):
        gaussian.replace(size=None)
    assert gaussian.replace(size=None, sigma=2.0).upsampling.mode == "gaussian"


def test_arguments_are_what_was_given_and_cannot_be_changed_from_outside() -> None:
    model, layers = sequential(), ["0", "1"]
    explainer = camfast.Explainer(model, layers, "respond", relu=None, size=(5, 7))
    found = explainer.arguments
    assert (found["model"], found["layer"], found["method"], found["size"]) == (model, layers, "respond", (5, 7))
    assert set(found) == set(inspect.signature(camfast.Explainer).parameters)
    assert found["relu"] is None  # as asked for; explainer.relu is what the method makes of it
    found["size"] = "grid"
    assert explainer.arguments["size"] == explainer.replace(relu=True).arguments["size"] == (5, 7)
    with pytest.raises(AttributeError, match="no setter"):
        explainer.arguments = found  # type: ignore[misc]


def test_unknown_methods_and_backends() -> None:
    with pytest.raises(
        ValueError, match=r"method must be one of cam, gradcam, .*extended, eigencam, eigengradcam; found 'gradcan'"
    ):
        camfast.cam(sequential(), images(), "1", method="gradcan")
    with pytest.raises(ValueError, match=r"backend must be None or one of .*found 'tpu'"):
        camfast.cam(sequential(), images(), "1", backend="tpu")
    with pytest.raises(camfast.BackendError, match="can't run on cpu by cuda"):
        camfast.cam(sequential(), images(), "1", backend="cuda")


def test_backends_agree() -> None:
    model, x = sequential().float(), images().float()
    for method in METHODS:
        native, naive = (
            camfast.Explainer(model, "1", method, size=(11, 5), sigma=2.0, upsample="gaussian", backend=backend)(
                x, "all"
            )
            for backend in ("cpu", "torch")
        )
        assert oracle.relative_error(native.maps, naive.maps) < 1e-6


def test_the_callers_tensors_are_left_alone() -> None:
    model, x, target = sequential(), images(), torch.tensor([1, 2])
    before = x.clone()
    camfast.Explainer(model, "1")(x, target)
    assert torch.equal(x, before)
    assert target.tolist() == [1, 2]
    result = camfast.Explainer(model, "1", size="grid")(x, target)
    result.targets.zero_()
    assert target.tolist() == [1, 2]


def test_another_default_device() -> None:
    model, x = sequential(), images()
    expected = camfast.cam(model, x, "1", "all")
    with torch.device("meta"):  # where new tensors of the caller's own would live
        found = camfast.cam(model, x, "1", "all")
    assert torch.equal(found, expected)
