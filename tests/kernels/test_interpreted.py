"""Every Triton kernel, interpreted, against the float64 reference: dtypes, layouts, hostile shapes, several targets."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from camfast.ops import reference
from camfast.ops.forms import FORMS, GAINS, RECTIFY, FusedCam, RunningMax, map_dtype, split_centres
from camfast.ops.fused_cam import allocate
from tests.kernels.interpreter import FarApart
from tests.ops import cases

Interpreted = Callable[..., Any]

WEIGHTED = [name for name, form in FORMS.items() if form.weighted]
# ‖out − reference‖ against the norm of the same sums over magnitudes: sums run in float32, so what cancels leaves the
# rounding of its terms behind.
TOLERANCE = {dtype: 1e-14 if dtype == torch.float64 else 1e-6 for dtype in cases.DTYPES}
SHAPES = [(1, 63, 7), (2, 1, 63), (2, 7, 257), (1, 257, 2, 3), (3, 2, 7, 7), (1, 5, 1, 1, 7), (2, 64, 1), (1, 2, 3, 64)]
# a row longer than a tile; channels that are split among programs; positions that are; many channels, few positions
LONG_SHAPES = [(2, 3, 1300), (1, 40, 33), (1, 1, 40_000), (1, 2, 33_001), (1, 2, 4100), (2, 257, 7)]


def _pair(
    shape: tuple[int, ...], dtype: torch.dtype, layout: str = "contiguous", targets: int | None = None
) -> tuple[Tensor, Tensor]:
    A = cases.activations(shape, dtype, layout)
    of_gradients = shape if targets is None else (targets, *shape)
    return A, cases.gradients(of_gradients, dtype, layout, targets=targets is not None)


def _lead(A: Tensor, targets: int | None) -> tuple[int, ...]:
    return (A.shape[0],) if targets is None else (A.shape[0], targets)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("layout", cases.LAYOUTS)
@pytest.mark.parametrize("targets", [None, 3])
def test_map_ops(interpreted: Interpreted, dtype: torch.dtype, layout: str, targets: int | None) -> None:
    for index, shape in enumerate(SHAPES):
        if (index + cases.DTYPES.index(dtype)) % 4 == cases.LAYOUTS.index(layout) % 4:
            A, G = _pair(shape, dtype, layout, targets)
            _check_maps(interpreted, A, G, targets, RECTIFY[index % 3], WEIGHTED[index % 4])


@pytest.mark.parametrize("shape", LONG_SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_map_ops_on_long_axes(interpreted: Interpreted, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    A, G = _pair(shape, dtype)
    _check_maps(interpreted, A, G, None, "gradients", "respond")


def _check_maps(interpreted: Interpreted, A: Tensor, G: Tensor, targets: int | None, rectify: str, method: str) -> None:
    lead, dtype = _lead(A, targets), map_dtype(A.dtype)
    weights = torch.randn((*lead, A.shape[1]), dtype=dtype)
    out = cases.poisoned((*lead, *A.shape[2:]), dtype)
    a, g, w = A.double(), G.double(), weights.double()
    found = interpreted("product_sum", A, G, rectify, False, out)
    magnitude = reference.product_sum(a.abs(), g.abs())
    assert _error(found, reference.product_sum(a, g, rectify), magnitude) < TOLERANCE[A.dtype]  # type: ignore[arg-type]
    found = interpreted("weighted_sum", A, weights, True, cases.poisoned(out.shape, dtype))
    magnitude = reference.weighted_sum(a.abs(), w.abs())
    assert _error(found, reference.weighted_sum(a, w, True), magnitude) < TOLERANCE[A.dtype]
    found = interpreted("channel_weights", A, G, method, cases.poisoned(weights.shape, dtype))
    expected = reference.channel_weights(a, g, method)
    condition = cases.conditioning(A[None] if targets else A, G, method)
    assert _error(found, expected, expected) < TOLERANCE[A.dtype] * condition


def _error(found: Tensor, expected: Tensor, magnitude: Tensor) -> float:
    assert found.shape == expected.shape
    norm = float(magnitude.norm())
    return float((found - expected).norm()) / (norm if norm > 0 else 1)


@pytest.mark.parametrize("method", WEIGHTED)
@pytest.mark.parametrize("shape", [(2, 5, 7, 9), (1, 2, 33_001)], ids=str)
def test_channel_weights_of_each_method(interpreted: Interpreted, method: str, shape: tuple[int, ...]) -> None:
    A, G = _pair(shape, torch.float32, targets=2)
    found = interpreted("channel_weights", A, G, method)
    expected = reference.channel_weights(A.double(), G.double(), method)
    assert cases.relative_error(found, expected) < 1e-6 * cases.conditioning(A[None], G, method)


def _fused(
    interpreted: Interpreted, A: Tensor, G: Tensor, method: str, relu: bool, size: Any = None, sigma: Any = None
) -> tuple[FusedCam, FusedCam]:
    """The interpreted result in poisoned outputs, and the reference."""
    targets = len(G) if G.ndim > A.ndim else None
    out = allocate(A, method, size, targets=targets)
    for field in out:
        if field is not None:
            field.fill_(True if field.dtype == torch.bool else math.nan)
    starts, steps = split_centres(None, A.shape[2:], size or A.shape[2:])
    options = (method, relu, size, sigma, "average", starts, steps)
    return interpreted("fused_cam", A, G, *options, out), reference.fused_cam(A.double(), G.double(), *options)


def _assert_close(found: FusedCam, expected: FusedCam, tolerance: float) -> None:
    for value, right in zip(found, expected, strict=True):
        if value is not None and value.dtype == torch.bool:
            assert torch.equal(value, right)
        elif value is not None:
            assert cases.relative_error(value, right) < tolerance


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("upsampling", ["none", "linear", "gaussian"])
@pytest.mark.parametrize(("targets", "relu"), [(None, True), (2, False)])
def test_fused_cam(interpreted: Interpreted, method: str, upsampling: str, targets: int | None, relu: bool) -> None:
    A, G = _pair((2, 37, 5, 6), torch.float32, targets=targets)
    size = None if upsampling == "none" else [11, 24]
    found, expected = _fused(interpreted, A, G, method, relu, size, [2.0, 3.0] if upsampling == "gaussian" else None)
    _assert_close(found, expected, 3e-6)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("layout", cases.LAYOUTS)
def test_fused_cam_of_any_layout(interpreted: Interpreted, dtype: torch.dtype, layout: str) -> None:
    method = list(FORMS)[cases.seed(dtype, layout) % len(FORMS)]
    A, G = _pair((2, 7, 5, 3), dtype, layout)
    found, expected = _fused(interpreted, A, G, method, relu=False)
    _assert_close(found, expected, 3 * TOLERANCE[dtype])


@pytest.mark.parametrize("method", WEIGHTED)
@pytest.mark.parametrize("shape", [(2, 3, 5000), (6, 2, 5, 25, 34)], ids=str)
def test_fused_cam_of_channels_that_fit_no_tile(interpreted: Interpreted, method: str, shape: tuple[int, ...]) -> None:
    A, G = _pair(shape, torch.bfloat16, targets=2)
    A.flatten(2)[0, 1] = torch.tensor([1.0, -1.0]).repeat(A[0, 1].numel() // 2)  # ill-conditioned
    G[1] *= 3
    found, expected = _fused(interpreted, A, G, method, relu=True)
    assert found.ill_conditioned.tolist() == expected.ill_conditioned.tolist()
    assert found.ill_conditioned.any() == (method != "gradcam")
    A, G = _pair(shape, torch.float32)
    _assert_close(*_fused(interpreted, A, G, method, relu=False), 3e-6 * cases.conditioning(A, G, method))


@pytest.mark.parametrize("method", FORMS)
def test_nan_stays_in_its_sample(interpreted: Interpreted, method: str) -> None:
    for shape in ((3, 4, 6, 5), (3, 2, 5000)):
        A, G = _pair(shape, torch.float32)
        A.flatten(2)[1, 1, 2] = math.nan
        G.flatten(2)[1, 0, 4] = math.nan
        found, _ = _fused(interpreted, A, G, method, relu=True)
        nan = found.maps.isnan().flatten(1)
        assert nan.any(1).tolist() == [False, True, False]
        assert nan[1, 2]


@pytest.mark.parametrize("positions", [700, 5000])
def test_offsets_beyond_32_bits(interpreted: Interpreted, positions: int) -> None:
    A, G = _pair((2, 3, positions), torch.bfloat16)
    far = (FarApart(A), FarApart(G))
    for op, options in (("product_sum", ("gradients", False)), ("channel_weights", ("respond",))):
        assert torch.equal(interpreted(op, *far, *options), interpreted(op, A, G, *options))
    for method in ("gradcam", "gradcam++", "respond"):
        options = (method, False, None, None, "spray", [0.0], [1.0])
        found = interpreted("fused_cam", *far, *options, allocate(A, method, None))
        assert torch.equal(found.maps, interpreted("fused_cam", A, G, *options, allocate(A, method, None)).maps)


@pytest.mark.parametrize("upsampling", [None, [2.0, 2.0]])
def test_fused_cam_writes_some_targets_of_more(interpreted: Interpreted, upsampling: list[float] | None) -> None:
    A, G = _pair((2, 5, 6, 6), torch.float32, targets=4)
    size = [12, 12]
    options = ("respond", False, size, upsampling, "spray", *split_centres(None, (6, 6), size))
    whole = allocate(A, "respond", size, targets=4)
    for start in (0, 2):
        part = slice(start, start + 2)
        for field, value in zip(whole.targets(part), interpreted("fused_cam", A, G[part], *options,
                                whole.targets(part)), strict=True):  # fmt: skip
            field.copy_(value)
    _assert_close(whole, reference.fused_cam(A.double(), G.double(), *options), 3e-6)


@pytest.mark.parametrize(
    ("spatial", "size"),
    [((7,), (64,)), ((300,), (600,)), ((64,), (7,)), ((1, 5), (3, 20)), ((7, 9), (15, 9)), ((2, 3, 5), (4, 5, 7))],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_linear_upsample(
    interpreted: Interpreted, spatial: tuple[int, ...], size: tuple[int, ...], dtype: torch.dtype
) -> None:
    grid = torch.randn((1, 2, *spatial), dtype=torch.float64).to(dtype)
    found = interpreted("linear_upsample", grid, size, cases.poisoned((1, 2, *size), map_dtype(dtype)))
    assert cases.relative_error(found, reference.linear_upsample(grid.double(), size)) < TOLERANCE[dtype]


@pytest.mark.parametrize(
    ("spatial", "size", "sigma"),
    [((7,), (64,), 6.0), ((1, 5), (3, 20), 1.5), ((3, 4, 5), (8, 9, 17), 2.0), ((63,), (130,), 3.0),
     ((40, 7), (81, 15), 2.0), ((2, 33, 3), (5, 60, 7), 1.0)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(
    ("dtype", "gain"),
    [*((torch.float32, gain) for gain in GAINS), *zip(cases.DTYPES[1:], GAINS, strict=True)],
    ids=str,
)
def test_gaussian_upsample(
    interpreted: Interpreted,
    spatial: tuple[int, ...],
    size: tuple[int, ...],
    sigma: float,
    dtype: torch.dtype,
    gain: str,
) -> None:
    grid = torch.randn((2, *spatial), dtype=torch.float64).to(dtype)
    options = (size, [sigma] * len(size), gain, *split_centres(None, spatial, size))
    found = interpreted("gaussian_upsample", grid, *options, cases.poisoned((2, *size), map_dtype(dtype)))
    expected = reference.gaussian_upsample(grid.double(), *options)  # type: ignore[arg-type]
    assert not found.isnan().any()
    assert (found.double() - expected).abs().max() <= (3e-7 + 1e-6) * expected.abs().max()


@pytest.mark.parametrize(
    ("dtype", "unit", "in_place"),
    [
        (torch.float32, 7, True),
        (torch.float32, torch.tensor([3, 4], dtype=torch.int32), False),
        (torch.bfloat16, torch.tensor([3, 4]), True),
        (torch.float16, 2**31 - 1, False),
        (torch.float64, torch.tensor(5), False),
    ],
    ids=str,
)
def test_running_max(interpreted: Interpreted, dtype: torch.dtype, unit: int | Tensor, in_place: bool) -> None:
    candidate = torch.randn(2, 9, 7).to(dtype)
    values, index = torch.randn(2, 9, 7).to(map_dtype(dtype)), torch.randint(0, 3, (2, 9, 7), dtype=torch.int32)
    values[0, 0, :3] = torch.tensor([math.nan, 0.0, math.nan])
    candidate[0, 0, :4] = torch.tensor([math.nan, math.nan, 1.0, 0.5]).to(dtype)
    values[0, 0, 3] = 0.5  # a tie
    expected = reference.running_max(values, index, candidate, unit)
    out = RunningMax(values, index) if in_place else None
    found = interpreted("running_max", values, index, candidate, unit, out)
    assert torch.equal(found.index, expected.index)
    torch.testing.assert_close(found.values, expected.values, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("blend", ["mean", "max"])
@pytest.mark.parametrize(
    ("grid", "window", "dtype"),
    [((5, 7, 9), (2, 3, 4), torch.float32), ((6, 50), (5, 7), torch.bfloat16), ((300,), (257,), torch.float64)],
    ids=str,
)
def test_window_sum(
    interpreted: Interpreted, grid: tuple[int, ...], window: tuple[int, ...], dtype: torch.dtype, blend: str
) -> None:
    total = torch.randn(2, *grid, dtype=torch.float64)
    maps = torch.randn(4, 2, *window).to(dtype)
    maps[1, 0].view(-1)[0] = math.nan
    origins = torch.stack([torch.randint(0, g - h + 1, (4,)) for g, h in zip(grid, window, strict=True)], 1)
    taper = torch.rand(window, dtype=torch.float64)
    expected = reference.window_sum(total, maps, origins, taper, blend)  # type: ignore[arg-type]
    found = interpreted("window_sum", total, maps, origins, taper, blend)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    found = interpreted("window_sum", total, maps, origins, taper, blend, total)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    origins[2] = 2**32 + 1  # outside: moved in, and NaN
    assert interpreted("window_sum", total, maps[2:3], origins[2:3], taper, blend).isnan().sum() >= 2 * taper.numel()


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        (torch.uint16, (2, 9, 16)),
        (torch.float32, (1, 5, 21)),
        (torch.uint8, (2, 6, 12, 3)),
        (torch.bfloat16, (1, 3, 1030, 3)),
        (torch.uint8, (1, 2, 1028)),
    ],
    ids=str,
)
@pytest.mark.parametrize("sigma", [None, [3.0, 2.0]])
def test_overlay(
    interpreted: Interpreted, dtype: torch.dtype, shape: tuple[int, ...], sigma: list[float] | None
) -> None:
    white = {torch.uint8: 255.0, torch.uint16: 65535.0}.get(dtype, 1.0)
    image = (torch.rand(shape) * white).to(dtype)
    heat = torch.randn(shape[0], 3, 4)
    heat[0, 0, 0] = math.nan
    table = torch.randint(0, 256, (256, 3), dtype=torch.uint8)
    out = torch.zeros((*shape[:3], 3), dtype=torch.uint8)
    one = torch.tensor(1.0)
    for low, high, alpha, threshold in (
        (-1.0, 1.5, 0.5, 0.0), (one, 1.0, 0.3, 0.0), (-one, one, 1.0, 0.0), (-one, one, 0.5, 0.4), (-1.0, 1.0, 1.0, 0.6)
    ):  # fmt: skip
        arguments = (image, heat, table, low, high, alpha, sigma, 0.0, white, threshold)
        expected = reference.overlay(*arguments)
        difference = (interpreted("overlay", *arguments, out).int() - expected.int()).abs()
        # a value that rounds either way: colours of the next entry of this random table, or one level
        assert (difference > 1).double().mean() < 0.01
        assert torch.equal(expected[0, 0, 0], torch.tensor([255, 0, 255], dtype=torch.uint8))


def test_nothing_to_compute(interpreted: Interpreted) -> None:
    for shape in ((0, 3, 4), (2, 0, 4), (2, 3, 0)):
        A = torch.ones(shape)
        assert torch.equal(interpreted("product_sum", A, A, "none", False), torch.zeros(shape[0], shape[2]))
        assert torch.equal(interpreted("channel_weights", A, A, "respond"), torch.zeros(shape[:2]))
        found, _ = _fused(interpreted, A, A, "respond", relu=False)
        assert torch.equal(found.maps, torch.zeros(shape[0], shape[2]))
        assert not found.ill_conditioned.any()
