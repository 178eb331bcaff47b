"""Arguments of `camfast.ops` that no op can take: what is said of them, and not by torch's own words."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import camfast
from camfast import ops

with warnings.catch_warnings(action="ignore"):  # nested tensors are a prototype, quantized ones on their way out
    NESTED = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    QUANTIZED = torch.quantize_per_tensor(torch.zeros(2, 3, 4, 4), 1.0, 0, torch.quint8)
SPARSE = torch.zeros(2, 3, 4, 4).to_sparse()
A = torch.rand(2, 3, 4, 4)
TOTAL = torch.zeros(1, 4, 4, dtype=torch.float64)
TAPER = torch.zeros(2, 2, dtype=torch.float64)
INDEX = torch.zeros(2, 3, 4, 4, dtype=torch.int32)


@pytest.mark.parametrize("tensor", [NESTED, SPARSE, QUANTIZED], ids=["nested", "sparse", "quantized"])
@pytest.mark.parametrize(
    "call",
    [
        lambda odd: ops.channel_weights(odd, A, "respond"),
        lambda odd: ops.channel_weights(A, odd, "respond"),
        lambda odd: ops.channel_weights(A, A, "respond", out=odd),
        lambda odd: ops.weighted_sum(A, odd),
        lambda odd: ops.product_sum(A, odd),
        lambda odd: ops.fused_cam(A, A, "gradcam", out=odd),
        lambda odd: ops.allocate(odd, "gradcam", None),
        lambda odd: ops.linear_upsample(odd, (8, 8)),
        lambda odd: ops.gaussian_upsample(odd, (8, 8), 1.0),
        lambda odd: ops.overlay(odd, A[:, 0], low=0, high=1),
        lambda odd: ops.overlay(A[:, 0], odd, low=0, high=1),
        lambda odd: ops.overlay(A[:, 0], A[:, 0], low=0, high=1, colormap=odd),
        lambda odd: ops.overlay(A[:, 0], A[:, 0], low=odd, high=1),
        lambda odd: ops.overlay(A[:, 0], A[:, 0], low=0, high=odd),
        lambda odd: ops.running_max(A, INDEX, odd, 3),
        lambda odd: ops.running_max(odd, INDEX, A, 3),
        lambda odd: ops.window_sum(TOTAL, odd, torch.zeros(3, 2, dtype=torch.int64), TAPER),
        lambda odd: ops.window_sum(
            TOTAL, torch.zeros(3, 1, 2, 2), torch.zeros(3, 2, dtype=torch.int64), TAPER, out=odd
        ),
    ],
)
def test_tensors_without_strides(call: Callable[[Any], Any], tensor: torch.Tensor) -> None:
    with pytest.raises(
        TypeError, match=r"must be a dense tensor, found one that is (nested|torch.sparse_coo|quantized)"
    ):
        call(tensor)


@pytest.mark.parametrize(
    ("which", "call"),
    [
        ("index", lambda: ops.running_max(A, INDEX.to_sparse(), A, 3)),
        ("unit", lambda: ops.running_max(A, INDEX, A, INDEX[:, 0, 0, 0].to_sparse())),
        ("origins", lambda: ops.window_sum(TOTAL, torch.zeros(2, 1, 2, 2), INDEX[:, :2, 0, 0].to_sparse(), TAPER)),
    ],
)
def test_indices_without_strides(which: str, call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=f"{which} must be a dense tensor, found one that is torch.sparse_coo"):
        call()


@pytest.mark.parametrize("backend", ["gpu", 3, A, torch.nn.Linear(1, 1)])
@pytest.mark.parametrize("recorded", [False, True])
def test_backends_that_are_none(backend: Any, recorded: bool) -> None:
    with pytest.raises(ValueError, match="backend must be None or one of cpu, cuda, triton, torch, found"):
        ops.fused_cam(A, A.clone().requires_grad_(recorded), "gradcam", backend=backend)


@pytest.mark.parametrize("known", [False, True])
def test_a_tuple_of_one_output_is_no_output(known: bool) -> None:
    grid, image = torch.rand(2, 3, 4), torch.rand(2, 3, 4)
    for out in (None, torch.empty(2, 6, 8)):
        for _ in range(2 * known):  # such a call has passed its checks
            ops.linear_upsample(grid, (6, 8), out=out)
        with pytest.raises(TypeError, match="out must be a torch tensor, found tuple"):
            ops.linear_upsample(grid, (6, 8), out=(out,))  # type: ignore[arg-type]
    for _ in range(2 * known):
        ops.overlay(image, grid, low=0, high=1)
    with pytest.raises(TypeError, match="out must be a torch tensor, found tuple"):
        ops.overlay(image, grid, low=0, high=1, out=(None,))  # type: ignore[arg-type]


@pytest.mark.parametrize("flag", [A, torch.zeros(0), "no", None, [True], 0.5])
def test_flags_that_are_none(flag: Any) -> None:
    with pytest.raises(TypeError, match="relu must be True or False, found"):
        ops.weighted_sum(A, torch.rand(2, 3), relu=flag)
    with pytest.raises(TypeError, match="relu must be True or False, found"):
        ops.product_sum(A, A, relu=flag)
    if flag is not None:
        with pytest.raises(TypeError, match="relu must be True or False, found"):
            ops.fused_cam(A, A, "gradcam", relu=flag)


def test_flags_of_numpy_and_numbers() -> None:
    expected = ops.product_sum(A, -A, relu=True)
    for flag in (1, np.bool_(True)):
        assert torch.equal(ops.product_sum(A, -A, relu=flag), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("upsample", [A, np.zeros(3), 3, "nearest"])
def test_upsamplings_that_are_none(upsample: Any) -> None:
    with pytest.raises(ValueError, match="upsample must be one of linear, gaussian, found"):
        ops.fused_cam(A, A, "gradcam", size=(8, 8), upsample=upsample)


@pytest.mark.parametrize("out", [A, [], {}, ("a", "b")])
def test_parts_that_are_none(out: Any) -> None:
    with pytest.raises(TypeError, match=r"out must be a FusedCam, as allocate\(\) gives, found"):
        ops.fused_cam_parts(A, A, "respond", out=out)


def test_parts_of_impossible_sizes() -> None:
    for targets in (-1, 2.5, "all"):
        with pytest.raises(ValueError, match="targets must be None or how many targets there are"):
            ops.allocate(A, "respond", None, targets=targets)  # type: ignore[arg-type]
    for size in ((-1, 8), (8, 0), (8,)):
        with pytest.raises(ValueError, match="size"):
            ops.allocate(A, "respond", size)


@pytest.mark.parametrize("device", [3, -1, "gpu", None, [1]])
def test_devices_that_are_none(device: Any) -> None:
    if device == 3 and torch.cuda.is_available():
        pytest.skip("a number is a GPU here")
    with pytest.raises(ValueError, match=r"device must be one of torch's, such as 'cpu' or 'cuda:0', found"):
        camfast.backends("overlay", device)


@pytest.mark.parametrize("backend", [None, "torch"])
@pytest.mark.parametrize("sigma", [1e-200, 1e-51, 1e51, 1e308])
def test_gaussians_beyond_float64(sigma: float, backend: str | None) -> None:
    """Their exponents would be infinite, and a mean of them NaN."""
    grid = torch.rand(1, 3)
    with pytest.raises(ValueError, match="sigma must be positive and finite, in pixels of the map, 1e-50 to 1e"):
        ops.gaussian_upsample(grid, (6,), sigma, gain="average", backend=backend)
    with pytest.raises(ValueError, match="sigma must be one or two positive numbers of pixels, 1e-50 to 1e"):
        ops.overlay(torch.rand(1, 4, 4), torch.rand(1, 2, 2), low=0, high=1, sigma=sigma, backend=backend)
    for centres in ([(1e60, 1.0)], [(0.0, 1e60)], [(0.0, 1e-60)]):
        with pytest.raises(ValueError, match="centres must be finite with positive steps"):
            ops.gaussian_upsample(grid, (6,), 1.0, centres=centres, backend=backend)


@pytest.mark.parametrize("backend", [None, "torch"])
@pytest.mark.parametrize("gain", ["average", "mass", "spray"])
def test_gaussians_at_the_ends_of_what_is_allowed(gain: Any, backend: str | None) -> None:
    grid = torch.rand(2, 3)
    for sigma, centre in ((1e-50, (1e50, 1e-50)), (1e50, (-1e50, 1e50)), (1e-50, (0.0, 1e50)), (1e-50, (0.0, 1.0))):
        found = ops.gaussian_upsample(grid, (6,), sigma, gain=gain, centres=[centre], backend=backend)
        assert found.isfinite().all()
    nearest = ops.gaussian_upsample(grid, (6,), 1e-50, gain="average", centres=[(0.2, 2.0)], backend=backend)
    assert torch.equal(nearest, grid[:, [0, 0, 1, 1, 2, 2]])


@pytest.mark.parametrize("backend", [None, "torch"])
def test_nothing_is_upsampled_to_nothing(backend: str | None) -> None:
    for shape in ((0, 3, 3), (2, 0, 3, 3)):
        grid = torch.empty(shape)
        assert ops.linear_upsample(grid, (5, 6), backend=backend).shape == (*shape[:-2], 5, 6)
        assert ops.gaussian_upsample(grid, (5, 6), 1.0, backend=backend).shape == (*shape[:-2], 5, 6)
    picture = ops.overlay(torch.empty(0, 4, 4), torch.empty(0, 2, 2), low=0, high=1, backend=backend)
    assert picture.shape == (0, 4, 4, 3)
    none = torch.empty(0, 2, 3, 3)
    assert ops.fused_cam(none, none, "gradcam", size=(6, 6), backend=backend).shape == (0, 6, 6)


def test_nothing_takes_no_memory_for_its_axes() -> None:
    """Weights of so many pixels would take gigabytes."""
    grid = torch.empty(0, 3)
    assert ops.linear_upsample(grid, (2**31 - 1,)).shape == (0, 2**31 - 1)
    assert ops.gaussian_upsample(grid, (2**31 - 1,), 1e6).shape == (0, 2**31 - 1)
    none = torch.empty(0, 2, 3)
    assert ops.fused_cam(none, none, "gradcam", size=(2**31 - 1,)).shape == (0, 2**31 - 1)


@pytest.mark.parametrize("backend", [None, "torch"])
@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "xgradcam", "respond"])
def test_channels_without_positions_weigh_nothing(method: str, backend: str | None) -> None:
    empty = torch.empty(2, 3, 0)
    assert torch.equal(ops.channel_weights(empty, empty, method, backend=backend), torch.zeros(2, 3))
    parts = ops.fused_cam_parts(empty, empty, method, backend=backend)
    assert torch.equal(parts.weights, torch.zeros(2, 3))
    assert not parts.ill_conditioned.any()
