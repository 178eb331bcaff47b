"""`fused_cam` against the float64 reference: every method, dtype and layout, several targets, with upsampling."""

import math

import pytest
import torch

import camfast
from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import FORMS
from tests.ops import cases


def _reference(A: torch.Tensor, G: torch.Tensor, method: str, **options: object) -> torch.Tensor:
    return ops.fused_cam(A.double(), G.double(), method, backend="torch", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("layout", cases.LAYOUTS)
@pytest.mark.parametrize("targets", [None, 3])
def test_equals_the_reference(method: str, dtype: torch.dtype, layout: str, targets: int | None) -> None:
    seed = cases.seed(method, dtype, layout, targets)
    for shape in cases.random_shapes(seed, 3, 60_000):
        torch.manual_seed(seed)
        A = cases.activations(shape, dtype, layout)
        shape_of_gradients = shape if targets is None else (targets, *shape)
        G = cases.gradients(shape_of_gradients, dtype, layout, targets=targets is not None)
        lead = shape[:1] if targets is None else (shape[0], targets)
        out = cases.poisoned((*lead, *shape[2:]), reference.map_dtype(dtype))
        assert ops.fused_cam(A, G, method, relu=False, out=out) is out
        assert cases.relative_error(out, _reference(A, G, method, relu=False)) < cases.TOLERANCE[dtype]


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_millions_of_elements(method: str, dtype: torch.dtype) -> None:
    for shape in ((1, 16, 63, 64, 63), (257, 257, 64), (2, 2048, 31, 31)):
        A, G = cases.activations(shape, dtype), cases.gradients(shape, dtype)
        expected = _reference(A, G, method, relu=False)
        assert cases.relative_error(ops.fused_cam(A, G, method, relu=False), expected) < cases.TOLERANCE[dtype]


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("layout", ["channels_last", "sliced", "transposed"])
def test_millions_of_elements_in_other_layouts(method: str, layout: str) -> None:
    shape = (2, 64, 31, 32, 31)
    A = cases.activations(shape, torch.float32, layout)
    G = cases.gradients(shape, torch.float32, layout)
    expected = _reference(A, G, method, relu=False)
    out = cases.poisoned((2, 31, 32, 31), torch.float32)
    assert ops.fused_cam(A, G, method, relu=False, out=out) is out
    assert cases.relative_error(out, expected) < cases.TOLERANCE[torch.float32]


@pytest.mark.parametrize("method", [name for name, form in FORMS.items() if form.weighted])
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_signed_activations_by_their_conditioning(method: str, dtype: torch.dtype) -> None:
    for shape in ((2, 7, 63), (7, 64, 7, 7), (1, 2, 7, 63, 64)):
        A, G = cases.activations(shape, dtype, signed=True), cases.gradients(shape, dtype)
        condition = cases.conditioning(A, G, method)
        assert math.isfinite(condition)
        expected = _reference(A, G, method, relu=False)
        found = ops.fused_cam(A, G, method, relu=False)
        assert cases.relative_error(found, expected) < cases.TOLERANCE[dtype] * condition


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("upsampling", [{"upsample": "linear"}, {"upsample": "gaussian", "sigma": (3.0, 4.0)}], ids=str)
@pytest.mark.parametrize("targets", [None, 2])
@pytest.mark.parametrize("relu", [False, True])
def test_upsamples_in_the_same_call(
    method: str, upsampling: dict[str, object], targets: int | None, relu: bool
) -> None:
    A = cases.activations((3, 5, 7, 9), torch.float32)
    G = cases.gradients((3, 5, 7, 9) if targets is None else (targets, 3, 5, 7, 9), torch.float32)
    parts = ops.fused_cam_parts(A, G, method, relu=relu, size=(28, 40), **upsampling)  # type: ignore[arg-type]
    lead = (3,) if targets is None else (3, targets)
    assert parts.grid.shape == (*lead, 7, 9)
    assert parts.maps.shape == (*lead, 28, 40)
    expected = _reference(A, G, method, relu=relu, size=(28, 40), **upsampling)
    assert cases.relative_error(parts.maps, expected) < 2e-6  # the map's own 1e-6, and the upsampling's
    assert torch.equal(parts.grid, ops.fused_cam(A, G, method, relu=relu))
    if FORMS[method].weighted:
        assert torch.equal(parts.weights, ops.channel_weights(A, G, method))


def test_writes_some_targets_of_a_larger_result() -> None:
    A, G = cases.activations((2, 5, 6, 6), torch.float32), cases.gradients((4, 2, 5, 6, 6), torch.float32)
    whole = ops.allocate(A, "respond", (12, 12), targets=4)
    for field in whole:
        assert field is not None
        field.fill_(1 if field.dtype == torch.bool else math.nan)
    for start in (0, 2):
        part = slice(start, start + 2)
        ops.fused_cam_parts(A, G[part], "respond", size=(12, 12), out=whole.targets(part))
    together = ops.fused_cam_parts(A, G, "respond", size=(12, 12))
    for field, expected in zip(whole, together, strict=True):
        assert torch.equal(field, expected)


@pytest.mark.parametrize("method", ["gradcam++", "xgradcam", "respond", "gradcam"])
@pytest.mark.parametrize("targets", [None, 2])
def test_flags_ill_conditioned_samples(method: str, targets: int | None) -> None:
    A = cases.activations((4, 3, 50), torch.float32) + 0.1
    A[2, 1] = torch.tensor([1.0, -1.0]).repeat(25)
    G = cases.gradients((4, 3, 50) if targets is None else (targets, 4, 3, 50), torch.float32)
    flags = ops.fused_cam_parts(A, G, method).ill_conditioned
    assert flags is not None
    expected = torch.tensor([False, False, method != "gradcam", False])
    assert torch.equal(flags, expected if targets is None else expected[:, None].expand(4, targets))
    assert torch.equal(flags, reference.ill_conditioned(A, G, method))


def test_flags_the_pole_of_gradcam_plus_plus() -> None:
    A, G = -torch.ones(2, 1, 4), torch.full((2, 1, 4), 0.1)
    G[1, 0, 2] = 0.5  # 2 + S·G = 2 − 4·0.5
    assert ops.fused_cam_parts(A, G, "gradcam++").ill_conditioned.tolist() == [False, True]


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (0, 0, 1)], ids=str)
def test_empty_batches_and_channels(method: str, shape: tuple[int, ...]) -> None:
    A = torch.ones(shape)
    maps = ops.fused_cam(A, A, method, out=cases.poisoned((shape[0], shape[2]), torch.float32))
    assert torch.equal(maps, torch.zeros(shape[0], shape[2]))


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("shape", [(1, 8, 24, 25, 26), (32, 8, 10, 10), (3, 64, 700)], ids=str)
def test_the_same_bits_for_any_number_of_threads(method: str, shape: tuple[int, ...]) -> None:
    A, G = cases.activations(shape, torch.float32), cases.gradients(shape, torch.float32)
    size = [2 * extent for extent in shape[2:]]
    options = {"upsample": "gaussian", "sigma": 2.0}
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            results.append(ops.fused_cam(A, G, method, size=size, **options))  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_the_negative_bit_is_seen() -> None:
    z = torch.complex(torch.rand(2, 3, 8), torch.rand(2, 3, 8))
    negative = torch.conj(z).imag
    assert negative.is_neg()
    assert torch.equal(ops.fused_cam(negative, negative, "hirescam"), ops.fused_cam(z.imag, z.imag, "hirescam"))
    minus = ops.fused_cam(negative, z.imag, "hirescam", relu=False)
    assert torch.equal(minus, -ops.fused_cam(z.imag, z.imag, "hirescam", relu=False))


def test_backends_are_named_and_explained() -> None:
    assert camfast.backends("fused_cam", "cpu")["cpu"] == "ok"
    assert "CPU tensors" in camfast.backends("fused_cam", "cuda")["cpu"]
    with pytest.raises(ValueError, match="op must be one of channel_weights"):
        camfast.backends("fuse")
    A = torch.ones(1, 1, 4)
    with pytest.raises(ValueError, match="backend must be None or one of cpu, cuda, triton, torch, found 'gpu'"):
        ops.fused_cam(A, A, "gradcam", backend="gpu")
    with pytest.raises(camfast.BackendError, match=r"fused_cam can't run on cpu by cuda .*backend='torch'"):
        ops.fused_cam(A, A, "gradcam", backend="cuda")


@pytest.mark.parametrize("size", ["grid", 4])
def test_a_size_is_one_number_for_each_axis(size):
    A = torch.rand(1, 2, 3, 3)
    for call in (
        lambda: ops.fused_cam(A, A, "gradcam", size=size),
        lambda: ops.linear_upsample(A[:, 0], size),
        lambda: ops.gaussian_upsample(A[:, 0], size, sigma=1.0),
    ):
        with pytest.raises(TypeError, match=f"size must be one number for each spatial axis.*found {size!r}"):
            call()
