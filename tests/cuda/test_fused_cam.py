"""`fused_cam` of the CUDA sources, on the emulated device, against the float64 reference."""

import math

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import FORMS
from tests.cuda.cases import TOLERANCE
from tests.cuda.conftest import Device
from tests.ops import cases

WEIGHTED = [name for name, form in FORMS.items() if form.weighted]
# maps that a warp, part of a block, and a block hold with one, two and four packets a thread, of channels for one block
# and for several; the emulated device's small cache makes the last one large: chunks, or one pass after the other
SHAPES = ((2, 5, 7, 7), (1, 70, 12, 12), (3, 9, 30, 30), (1, 6, 36, 48), (1, 5, 60, 65), (2, 23, 68, 70))


def _check(
    shape: tuple[int, ...], dtype: torch.dtype, layout: str, targets: int | None, method: str, relu: bool = False
) -> None:
    A = cases.activations(shape, dtype, layout)
    lead = () if targets is None else (targets,)
    G = cases.gradients((*lead, *shape), dtype, layout, targets=targets is not None)
    out = ops.allocate(A, method, None, targets=targets)
    for field in out:
        if field is not None:
            field.fill_(math.nan if field.is_floating_point() else 1)
    found = ops.fused_cam_parts(A, G, method, relu=relu, out=out)
    expected = reference.fused_cam(A.double(), G.double(), method, relu, None, None, "spray", [], [])
    assert cases.relative_error(found.grid, expected.grid) < TOLERANCE[dtype]
    if FORMS[method].weighted:
        assert cases.relative_error(found.weights, expected.weights) < TOLERANCE[dtype]  # type: ignore[arg-type]
        assert torch.equal(found.ill_conditioned, expected.ill_conditioned)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_reference(ops_on_device: Device, method: str, shape: tuple[int, ...]) -> None:
    seed = cases.seed(method, shape)
    ops_on_device.schedule(seed)
    _check(shape, torch.float32, "contiguous", None, method)
    _check(shape, torch.bfloat16, "contiguous", 3 if seed % 2 else None, method, relu=True)


@pytest.mark.parametrize("method", ["gradcam++", "respond", "layercam"])
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("layout", cases.LAYOUTS)
def test_dtypes_and_layouts(ops_on_device: Device, method: str, dtype: torch.dtype, layout: str) -> None:
    seed = cases.seed(method, dtype, layout)
    ops_on_device.schedule(seed)
    for shape in ((2, 8, 9, 7), (1, 16, 33, 41)):
        _check(shape, dtype, layout, None if seed % 2 else 2, method)


@pytest.mark.parametrize("method", WEIGHTED)
@pytest.mark.parametrize("shape", [(2, 70, 50), (1, 40, 4160), (3, 7, 4160)], ids=str)
def test_any_order_of_threads_and_blocks_gives_the_same_bits(
    ops_on_device: Device, method: str, shape: tuple[int, ...]
) -> None:
    A, G = cases.activations(shape, torch.float32), cases.gradients(shape, torch.float32)
    results = []
    for seed in range(3):
        ops_on_device.schedule(seed)
        results.append(ops.fused_cam_parts(A, G, method))
    for other in results[1:]:
        assert torch.equal(results[0].grid, other.grid)
        assert torch.equal(results[0].weights, other.weights)  # type: ignore[arg-type]


def test_a_small_map_and_its_upsampling_take_two_launches(ops_on_device: Device) -> None:
    A, G = cases.activations((3, 16, 10, 10, 10), torch.float32), cases.gradients((3, 16, 10, 10, 10), torch.float32)
    for method in FORMS:
        before = ops_on_device.launched()
        found = ops.fused_cam_parts(A, G, method, size=(16, 15, 14), upsample="gaussian", sigma=2.0)
        assert ops_on_device.launched() - before == 2
        expected = ops.fused_cam(
            A.double(), G.double(), method, size=(16, 15, 14), upsample="gaussian", sigma=2.0, backend="torch"
        )
        assert cases.relative_error(found.maps, expected) < 2e-6


def test_large_maps_are_taken_in_chunks(ops_on_device: Device) -> None:
    A, G = cases.activations((2, 23, 4160), torch.float32), cases.gradients((2, 23, 4160), torch.float32)
    launches = {}
    for method in WEIGHTED:
        before = ops_on_device.launched()
        ops.fused_cam(A, G, method)
        launches[method] = ops_on_device.launched() - before
    # 6 channels of 16,640 bytes are two fifths of 256 KiB, 3 a quarter: 4 and 8 chunks a sample, and the stages' lag
    assert launches == {"gradcam": 2, "gradcam++": 2 * 8 + 2, "xgradcam": 2 * 4 + 1, "respond": 2 * 4 + 1}


def test_writes_some_targets_of_a_larger_result(ops_on_device: Device) -> None:
    A, G = cases.activations((2, 5, 6, 6), torch.float32), cases.gradients((4, 2, 5, 6, 6), torch.float32)
    whole = ops.allocate(A, "respond", (12, 12), targets=4)
    for start in (0, 2):
        part = slice(start, start + 2)
        ops.fused_cam_parts(A, G[part], "respond", size=(12, 12), out=whole.targets(part))
    together = ops.fused_cam_parts(A, G, "respond", size=(12, 12))
    for field, expected in zip(whole, together, strict=True):
        assert torch.equal(field, expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("positions", [36, 4160])
@pytest.mark.parametrize("method", FORMS)
def test_nan_stays_in_its_sample(ops_on_device: Device, method: str, positions: int) -> None:
    A, G = cases.activations((3, 8, positions), torch.float32), cases.gradients((3, 8, positions), torch.float32)
    clean = ops.fused_cam(A, G, method)
    A[1, 2, 5] = math.nan
    found = ops.fused_cam(A, G, method)
    assert torch.equal(found[[0, 2]], clean[[0, 2]])
    assert found[1, 5].isnan()


@pytest.mark.parametrize("positions", [50, 4160])
@pytest.mark.parametrize("method", WEIGHTED)
def test_flags_ill_conditioned_samples(ops_on_device: Device, method: str, positions: int) -> None:
    A = cases.activations((4, 3, positions), torch.float32) + 0.1
    A[2, 1] = torch.tensor([1.0, -1.0]).repeat(positions // 2)
    G = cases.gradients((4, 3, positions), torch.float32)
    flags = ops.fused_cam_parts(A, G, method).ill_conditioned
    assert flags is not None
    assert torch.equal(flags, reference.ill_conditioned(A, G, method))
    assert flags.tolist() == [False, False, method != "gradcam", False]


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("shape", [(0, 3, 4), (2, 0, 4), (0, 0, 1)], ids=str)
def test_empty_batches_and_channels(ops_on_device: Device, method: str, shape: tuple[int, ...]) -> None:
    A = torch.ones(shape)
    maps = ops.fused_cam(A, A, method, out=cases.poisoned((shape[0], shape[2]), torch.float32))
    assert torch.equal(maps, torch.zeros(shape[0], shape[2]))
