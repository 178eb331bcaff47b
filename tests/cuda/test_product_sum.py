"""`product_sum` of the CUDA sources, on the emulated device, against the float64 reference."""

import math
from types import ModuleType

import pytest
import torch

from camfast.ops import cuda, reference
from camfast.ops.forms import RECTIFY, Rectify, map_dtype
from tests.cuda.cases import TOLERANCE
from tests.cuda.conftest import Device
from tests.ops import cases


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("layout", cases.LAYOUTS)
@pytest.mark.parametrize("targets", [None, 2, 5])
def test_equals_the_reference(device: Device, dtype: torch.dtype, layout: str, targets: int | None) -> None:
    seed = cases.seed(dtype, layout, targets)
    device.schedule(seed)
    shapes = [*cases.random_shapes(seed, 2, 20_000), (1, 257, 7, 8), (2, 3, 64, 64)]
    for rectify, shape in zip((*RECTIFY, "none"), shapes, strict=True):
        torch.manual_seed(seed)
        A = cases.activations(shape, dtype, layout, signed=True)
        lead = () if targets is None else (targets,)
        G = cases.gradients((*lead, *shape), dtype, layout, targets=targets is not None)
        out = cases.poisoned((shape[0], *lead, *shape[2:]), map_dtype(dtype))
        assert cuda.product_sum(A, G, rectify, seed % 2 == 0, out) is out  # type: ignore[arg-type]
        expected = reference.product_sum(A.double(), G.double(), rectify, seed % 2 == 0)  # type: ignore[arg-type]
        assert cases.relative_error(out, expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("shape", [(1, 2048, 7, 7), (1, 512, 1000), (3, 1024, 8)], ids=str)
@pytest.mark.parametrize("targets", [None, 3])
def test_channels_split_over_blocks_give_the_same_bits(
    device: Device, shape: tuple[int, ...], targets: int | None
) -> None:
    A = cases.activations(shape, torch.float32)
    lead = () if targets is None else (targets,)
    G = cases.gradients((*lead, *shape), torch.float32)
    results = []
    for seed in range(3):
        device.schedule(seed)
        results.append(cuda.product_sum(A, G, "gradients", False))
    expected = reference.product_sum(A.double(), G.double(), "gradients")
    assert cases.relative_error(results[0], expected) < TOLERANCE[torch.float32]
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize("rectify", RECTIFY)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_inf_show_at_their_position_only(device: Device, rectify: Rectify, value: float) -> None:
    A, G = cases.activations((2, 4, 36), torch.float32), cases.gradients((2, 4, 36), torch.float32)
    clean = cuda.product_sum(A, G, rectify, False)
    A[1, 2, 5] = value
    found, expected = cuda.product_sum(A, G, rectify, True), reference.product_sum(A, G, rectify, True)
    assert torch.equal(found[0], clean[0].relu())
    assert torch.equal(found[1].isnan(), expected[1].isnan())
    assert torch.equal(found[1].isinf(), expected[1].isinf())
    others = torch.arange(36) != 5
    assert torch.equal(found[1, others], clean[1, others].relu())


@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (0, 0, 1)], ids=str)
def test_empty_batches_and_channels(device: Device, shape: tuple[int, ...]) -> None:
    A = torch.ones(shape)
    out = cuda.product_sum(A, A, "none", False, cases.poisoned((shape[0], shape[2]), torch.float32))
    assert torch.equal(out, torch.zeros(shape[0], shape[2]))


def test_a_slice_that_is_not_aligned(device: Device) -> None:
    room = torch.randn(1 + 2 * 3 * 64)
    A, G = room[1:].view(2, 3, 64), torch.randn(2, 3, 64)
    out = cases.poisoned((2, 65), torch.float32)[:, 1:]
    cuda.product_sum(A, G, "none", False, out)
    assert cases.relative_error(out, reference.product_sum(A.double(), G.double())) < TOLERANCE[torch.float32]


def test_an_error_of_the_device_names_the_kernel(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_queue", lambda _: (7, 0))
    A = torch.ones(1, 1, 4)
    with pytest.raises(RuntimeError, match="product_sum: invalid device ordinal"):
        cuda.product_sum(A, A, "none", False)


def test_without_a_device_a_call_fails_with_a_sentence() -> None:
    if not isinstance(cuda._load(), ModuleType) or torch.cuda.is_available():
        pytest.skip("needs the CUDA extension, and no CUDA device")
    data = torch.ones(1, 1, 4).data_ptr()
    with pytest.raises(RuntimeError, match="product_sum: no CUDA device"):
        cuda._kernels().product_sum(
            0, 0, 1, 1, 1, 4, data, 4, 4, 1, data, 0, 4, 4, 1, False, data, 4, 0, 0, 0, 0, 0, 0, 0
        )
