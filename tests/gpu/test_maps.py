"""The ops that make maps, against the float64 reference: dtypes, layouts, targets, hostile and large sizes."""

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import FORMS, RECTIFY, Rectify, map_dtype
from tests.gpu.runners import DTYPES, LAYOUTS, Runner, check
from tests.ops import cases

WEIGHTED = [name for name, form in FORMS.items() if form.weighted]
TARGETS = (None, 3)
# one element; a channel less or more than a vector of any width; many channels with few positions and the reverse;
# a grid of more positions than threads, and one of more samples than multiprocessors
SHAPES = ((1, 1, 1), (2, 7, 3, 5), (3, 8, 4, 4, 4), (1, 257, 7), (2, 5, 63, 17), (4, 512, 7, 7), (2, 64, 10, 10, 10),
          (300, 4, 9), (1, 3, 40, 41, 8))  # fmt: skip
# more than a GPU's second-level cache holds goes another way there
LARGE = ((2, 48, 63, 64, 33), (1, 2048, 31, 31), (16, 64, 257), (1, 64, 96, 96, 96), (2, 1024, 50, 300))


def _expected(A: torch.Tensor, G: torch.Tensor, method: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The signed map in float64, and that of the absolute values."""
    found = (ops.fused_cam(a, g, method, relu=False, backend="torch")
             for a, g in ((A.double(), G.double()), (A.double().abs(), G.double().abs())))  # fmt: skip
    return next(found), next(found)


def _shapes(runner: Runner, *of: object) -> list[tuple[int, ...]]:
    """A hostile shape and one drawn at random, other ones for each combination of parameters; the latter on a CPU."""
    seed = cases.seed(*of)
    drawn = cases.random_shapes(seed, 1, 8_000)
    return drawn if runner.device == "cpu" else [SHAPES[seed % len(SHAPES)], *drawn]


def _upsampled(grid: torch.Tensor, size: tuple[int, ...], upsample: str) -> torch.Tensor:
    if upsample == "linear":
        return ops.linear_upsample(grid, size, backend="torch")
    return ops.gaussian_upsample(grid, size, 3.0, backend="torch")


@pytest.mark.parametrize("method", WEIGHTED)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_channel_weights(runner: Runner, method: str, dtype: torch.dtype, layout: str) -> None:
    for targets in TARGETS:
        for shape in _shapes(runner, "weights", method, dtype, layout, targets):
            A, G = runner.activations(shape, dtype, layout), runner.gradients(shape, dtype, layout, targets=targets)
            lead = shape[:1] if targets is None else (shape[0], targets)
            out = runner.poisoned((*lead, shape[1]), map_dtype(dtype))
            assert ops.channel_weights(A, G, method, out=out, backend=runner.backend) is out
            expected = reference.channel_weights(A.double(), G.double(), method)
            magnitude = reference.channel_weights(A.double(), G.double().abs(), method)
            check(out, expected, magnitude, dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("targets", TARGETS)
def test_weighted_sum(runner: Runner, dtype: torch.dtype, layout: str, targets: int | None) -> None:
    for shape in _shapes(runner, "sum", dtype, layout, targets):
        A = runner.activations(shape, dtype, layout)
        lead = shape[:1] if targets is None else (shape[0], targets)
        w = runner.place(torch.randn((*lead, shape[1]), dtype=map_dtype(dtype)))
        out = runner.poisoned((*lead, *shape[2:]), map_dtype(dtype))
        assert ops.weighted_sum(A, w, out=out, backend=runner.backend) is out
        expected = reference.weighted_sum(A.double(), w.double())
        check(out, expected, reference.weighted_sum(A.double().abs(), w.double().abs()), dtype)


@pytest.mark.parametrize("rectify", RECTIFY)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_product_sum(runner: Runner, rectify: Rectify, dtype: torch.dtype, layout: str) -> None:
    for targets in TARGETS:
        for shape in _shapes(runner, "product", rectify, dtype, layout, targets):
            A, G = runner.activations(shape, dtype, layout), runner.gradients(shape, dtype, layout, targets=targets)
            lead = shape[:1] if targets is None else (shape[0], targets)
            out = runner.poisoned((*lead, *shape[2:]), map_dtype(dtype))
            assert ops.product_sum(A, G, rectify=rectify, out=out, backend=runner.backend) is out
            expected = reference.product_sum(A.double(), G.double(), rectify)
            check(out, expected, reference.product_sum(A.double().abs(), G.double().abs(), rectify), dtype)


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_fused_cam(runner: Runner, method: str, dtype: torch.dtype, layout: str) -> None:
    """Grid, weights and flags, each filled."""
    for targets in TARGETS:
        for shape in _shapes(runner, "cam", method, dtype, layout, targets):
            A, G = runner.activations(shape, dtype, layout), runner.gradients(shape, dtype, layout, targets=targets)
            out = ops.allocate(A, method, None, targets=targets)
            for part in (out.grid, out.weights):
                if part is not None:
                    part.fill_(torch.nan)
            if out.ill_conditioned is not None:
                out.ill_conditioned.fill_(True)
            ops.fused_cam_parts(A, G, method, relu=False, out=out, backend=runner.backend)
            check(out.grid, *_expected(A, G, method), dtype)
            if out.weights is not None and out.ill_conditioned is not None:
                expected, magnitude = (reference.channel_weights(A.double(), g, method)
                                       for g in (G.double(), G.double().abs()))  # fmt: skip
                check(out.weights, expected, magnitude, dtype)
                assert not out.ill_conditioned.any()


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced"])
def test_larger_maps(runner: Runner, method: str, dtype: torch.dtype, layout: str) -> None:
    """Millions of elements on a GPU; the CPU has tests of its own for them."""
    shapes = ((2, 12, 13, 16, 9),) if runner.device == "cpu" else LARGE if layout == "contiguous" else LARGE[:1]
    for shape in shapes:
        A, G = runner.activations(shape, dtype, layout), runner.gradients(shape, dtype, layout)
        found = ops.fused_cam(A, G, method, relu=False, backend=runner.backend)
        check(found, *_expected(A, G, method), dtype)


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("upsample", ["linear", "gaussian"])
@pytest.mark.parametrize("targets", TARGETS)
def test_with_an_upsampling(runner: Runner, method: str, upsample: str, targets: int | None) -> None:
    """The ReLU acts before it."""
    for spatial, size in (((10, 10, 10), (40, 40, 40)), ((7, 5), (33, 64)), ((12,), (5,))):
        A = runner.activations((2, 33, *spatial), torch.float32)
        G = runner.gradients((2, 33, *spatial), torch.float32, targets=targets)
        options = {"size": size, "upsample": upsample} | ({"sigma": 3.0} if upsample == "gaussian" else {})
        out = ops.allocate(A, method, size, targets=targets)
        for part in (out.grid, out.maps):
            part.fill_(torch.nan)
        ops.fused_cam_parts(A, G, method, relu=True, out=out, backend=runner.backend, **options)  # type: ignore[arg-type]
        signed, magnitude = _expected(A, G, method)
        check(out.grid, signed.relu(), magnitude, torch.float32)
        exact, bound = (_upsampled(grid, size, upsample) for grid in (signed.relu(), magnitude))
        check(out.maps, exact, bound.amax().expand(bound.shape), torch.float32)


def test_many_targets(runner: Runner) -> None:
    """More than a kernel takes in one go."""
    for method in ("respond", "gradcam++", "layercam"):
        A = runner.activations((2, 16, 6, 6, 6), torch.bfloat16)
        G = runner.gradients((2, 16, 6, 6, 6), torch.bfloat16, targets=70)
        found = ops.fused_cam(A, G, method, relu=False, backend=runner.backend)
        check(found, *_expected(A, G, method), torch.bfloat16)


@pytest.mark.parametrize("method", WEIGHTED)
def test_flags_and_dead_channels(runner: Runner, method: str) -> None:
    """Sums that cancel are flagged in their own sample; a channel of zeros has weight 0 and no flag."""
    A = runner.activations((3, 4, 8, 8), torch.float32)
    A[0, 1] = 0
    half = A[1, 2].flatten()[:32]
    A[1, 2] = torch.cat((half + 1, -half - 1)).view(8, 8)
    G = runner.gradients((3, 4, 8, 8), torch.float32)
    parts = ops.fused_cam_parts(A, G, method, backend=runner.backend)
    assert parts.weights is not None
    assert parts.ill_conditioned is not None
    assert parts.ill_conditioned.tolist() == [False, method != "gradcam", False]
    assert parts.ill_conditioned.tolist() == reference.ill_conditioned(A.double(), G.double(), method).tolist()
    if method in ("xgradcam", "respond"):
        assert float(parts.weights[0, 1]) == 0
