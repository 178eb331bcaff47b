"""Tensors of more than 2³¹ elements: offsets of 64 bits everywhere."""

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from tests.gpu.runners import Runner, check

MORE = 2**31 + 2**20 + 24  # elements


def _need(gigabytes: float) -> None:
    free = torch.cuda.mem_get_info()[0] / 1e9
    if free < gigabytes:
        pytest.skip(f"needs {gigabytes:g} GB of GPU memory, {free:.0f} GB are free")


def _pair(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    A = torch.randn(shape, device="cuda", dtype=torch.bfloat16).relu_()
    return A, torch.randn(shape, device="cuda", dtype=torch.bfloat16)


@pytest.mark.parametrize("channels", [2, 2**16])
def test_maps(gpu_runner: Runner, channels: int) -> None:
    """Many positions, or many channels; the map is compared at its ends, where an offset has wrapped around first."""
    _need(40)
    A, G = _pair((1, channels, MORE // channels))
    ends = (slice(0, 4096), slice(-4096, None))
    found = ops.product_sum(A, G, backend=gpu_runner.backend)
    for end in ends:
        a, g = A[..., end].double(), G[..., end].double()
        check(found[:, end], reference.product_sum(a, g), reference.product_sum(a, g.abs()), torch.bfloat16)
    del found
    parts = ops.fused_cam_parts(A, G, "respond", backend=gpu_runner.backend)
    assert parts.weights is not None
    for k in (0, channels - 1):
        a, g = A[:, k : k + 1].double(), G[:, k : k + 1].double()
        expected = reference.channel_weights(a, g, "respond")
        check(parts.weights[:, k : k + 1], expected, reference.channel_weights(a, g.abs(), "respond"), torch.bfloat16)
    for end in ends:
        w, a = parts.weights.double(), A[..., end].double()
        check(parts.grid[:, end], reference.weighted_sum(a, w), reference.weighted_sum(a, w.abs()), torch.bfloat16)
        found = ops.weighted_sum(A, parts.weights, backend=gpu_runner.backend)[:, end]
        check(found, reference.weighted_sum(a, w), reference.weighted_sum(a, w.abs()), torch.bfloat16)


@pytest.mark.parametrize("upsample", ["linear", "gaussian"])
def test_upsamplings(gpu_runner: Runner, upsample: str) -> None:
    """Three maps of more than 2³⁰ pixels: the last one's lie beyond 2³¹."""
    _need(80)
    grid, size = torch.randn(3, 16, 16, 16, device="cuda"), (1025, 1024, 1025)
    if upsample == "linear":
        maps = ops.linear_upsample(grid, size, backend=gpu_runner.backend)
        expected = reference.linear_upsample(grid[-1:].double(), size)
    else:
        maps = ops.gaussian_upsample(grid, size, 40.0, backend=gpu_runner.backend)
        expected = ops.gaussian_upsample(grid[-1:].double(), size, 40.0, backend="torch")
    assert maps.numel() > 3 * 2**30
    check(maps[-1:], expected, expected.abs().amax().expand(expected.shape), torch.float32)


def test_running_max(gpu_runner: Runner) -> None:
    _need(45)
    candidate = torch.randn(1, MORE, device="cuda", dtype=torch.bfloat16)
    values = torch.zeros(1, MORE, device="cuda")
    index = torch.zeros(1, MORE, device="cuda", dtype=torch.int32)
    ops.running_max(values, index, candidate, 5, out=(values, index), backend=gpu_runner.backend)
    for part in candidate[0].split(2**28):
        start = part.storage_offset()
        own = slice(start, start + len(part))
        assert torch.equal(values[0, own], part.float().relu())
        assert torch.equal(index[0, own], (part > 0).int() * 5)
