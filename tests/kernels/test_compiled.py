"""Every kernel as its launch function has it compiled for GPUs: nothing spilled, memory read in 128-bit pieces."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from camfast.ops import triton as ops
from camfast.ops.forms import FORMS, map_dtype
from camfast.ops.fused_cam import allocate
from tests.kernels.compiler import Compiled, compiling

CAPABILITIES = (80, 90)
FLOATS = (torch.float32, torch.bfloat16)  # float16 is bfloat16 to the compiler, but for the conversion
WEIGHTED = [name for name, form in FORMS.items() if form.weighted]


def _launch(capability: int, op: str, *arguments: Any) -> list[Compiled]:
    """What an op's launches compile, after checking that all of it fits in registers."""
    with compiling(capability) as found:
        getattr(ops, op)(*arguments)
    assert found
    for kernel in found:
        resources = kernel.resources()
        assert resources["STACK"] == resources["LOCAL"] == 0, (kernel.name, kernel.config, resources)
    return found


def _assert_vector_loads(found: list[Compiled]) -> None:
    for kernel in found:
        assert kernel.loads(), kernel.name
        assert kernel.loads() == kernel.vector_loads(), (kernel.name, kernel.config)


def _named(found: list[Compiled], name: str) -> list[Compiled]:
    kernels = [kernel for kernel in found if kernel.name == name]
    assert kernels, f"{name} was not launched: {[kernel.name for kernel in found]}"
    return kernels


def _pair(dtype: torch.dtype, *shape: int) -> tuple[Tensor, Tensor]:
    return torch.empty(shape, dtype=dtype, device="meta"), torch.empty(shape, dtype=dtype, device="meta")


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("spatial", [(64, 64, 64), (10, 10, 10)], ids=str)
def test_map_ops_read_contiguous_maps_in_vectors(capability: int, dtype: torch.dtype, spatial: tuple[int, ...]) -> None:
    A, G = _pair(dtype, 8, 256, *spatial)
    _assert_vector_loads(_launch(capability, "product_sum", A, G, "gradients", True))
    _assert_vector_loads(_launch(capability, "channel_weights", A, G, "respond"))
    weights = torch.empty((8, 256), device="meta")
    for kernel in _launch(capability, "weighted_sum", A, weights, True):
        config = kernel.config
        tile = config["BLOCK_C"] * config["BLOCK_P"] // (32 * config["num_warps"]) // config["VECTOR"]
        assert len(kernel.vector_loads()) >= tile, config  # the weights, a number a channel, may come one by one


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("method", WEIGHTED)
def test_channel_weights_are_read_in_vectors(capability: int, method: str) -> None:
    A, G = _pair(torch.float32, 8, 256, 64, 64, 64)
    _assert_vector_loads(_launch(capability, "channel_weights", A, G, method))


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_channels_last_is_read_in_vectors(capability: int) -> None:
    A = torch.empty((8, 32, 32, 256), dtype=torch.bfloat16, device="meta").movedim(-1, 1)
    _assert_vector_loads(_launch(capability, "product_sum", A, A, "none", True))
    _assert_vector_loads(_launch(capability, "channel_weights", A, A, "respond"))


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("method", WEIGHTED)
def test_a_map_that_fits_takes_two_launches(capability: int, dtype: torch.dtype, method: str) -> None:
    found = _fused(capability, dtype, (32, 64, 10, 10, 10), method, (40, 40, 40))
    assert {kernel.name for kernel in found} == {"whole_channels_kernel", "upsample_small_kernel"}
    _assert_vector_loads(_named(found, "whole_channels_kernel"))


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("method", ["respond", "gradcam++"])
def test_a_map_beyond_the_cache_is_taken_in_chunks(capability: int, dtype: torch.dtype, method: str) -> None:
    chunks = _named(_fused(capability, dtype, (2, 8, 64, 64, 64), method, None), "chunk_kernel")
    assert len(chunks) > 2
    for kernel in chunks:
        # the sums of a chunk's weights are scalars, A and G are not
        assert len(kernel.vector_loads()) >= 8, kernel.config


def _fused(
    capability: int, dtype: torch.dtype, shape: tuple[int, ...], method: str, size: tuple[int, ...] | None
) -> list[Compiled]:
    A, G = torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype)
    options = (False, size, [6.0] * 3 if size else None, "spray", [1.5] * 3, [4.0] * 3)
    return _launch(capability, "fused_cam", A, G, method, *options, allocate(A, method, size))


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_upsamplings_write_in_vectors(capability: int, dtype: torch.dtype) -> None:
    for spatial, size in (((64, 64, 64), (512, 512, 512)), ((14, 14), (224, 224))):
        grid = torch.empty((1, *spatial), dtype=dtype)
        axes = ([4.0] * len(size), "spray", [1.5] * len(size), [4.0] * len(size))
        out = torch.empty((1, *size), dtype=map_dtype(dtype), device="meta")
        for kernel in _launch(capability, "gaussian_upsample", grid, size, *axes, torch.empty_like(out, device="cpu")):
            assert _vector_stores(kernel), (kernel.name, kernel.config)
        for kernel in _launch(capability, "linear_upsample", grid, size, torch.empty_like(out, device="cpu")):
            assert _vector_stores(kernel), (kernel.name, kernel.config)


def _vector_stores(kernel: Compiled) -> bool:
    stores = re.findall(r"st\.global[\w.:]*", kernel.ptx)
    return all(re.search(r"v4\.[bf]32|v2\.[bf]64", store) for store in stores)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_overlay_writes_words_in_vectors(capability: int) -> None:
    image, heat = torch.empty((1, 2048, 2048), dtype=torch.uint16), torch.empty((1, 14, 14))
    table = torch.empty((256, 3), dtype=torch.uint8)
    (kernel,) = _launch(capability, "overlay", image, heat, table, 0.0, 1.0, 0.5, None, 0.0, 65535.0, 0.0)
    assert _vector_stores(kernel)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_running_max_reads_and_writes_in_vectors(capability: int, dtype: torch.dtype) -> None:
    values, index = torch.empty((2, 4096)), torch.empty((2, 4096), dtype=torch.int32)
    (kernel,) = _launch(capability, "running_max", values, index, torch.empty((2, 4096), dtype=dtype), 3)
    _assert_vector_loads([kernel])
    assert _vector_stores(kernel)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_window_sum_rounds_the_product_before_the_sum(capability: int) -> None:
    total, taper = torch.empty((2, 8, 8, 8), dtype=torch.float64), torch.empty((4, 4, 4), dtype=torch.float64)
    maps, origins = torch.empty((3, 2, 4, 4, 4)), torch.zeros((3, 3), dtype=torch.int64)
    (kernel,) = _launch(capability, "window_sum", total, maps, origins, taper, "mean")
    assert re.search(r"mul\.(rn\.)?f64", kernel.ptx)
    assert "fma.rn.f64" not in kernel.ptx


@pytest.mark.parametrize("launch", ["product_sum", "channel_weights"])
def test_more_than_two_billion_elements_compile(launch: str) -> None:
    A, G = _pair(torch.bfloat16, 2, 3, 1 << 31)
    arguments: dict[str, tuple[Any, ...]] = {"product_sum": ("none", True), "channel_weights": ("respond",)}
    _assert_vector_loads(_launch(90, launch, A, G, *arguments[launch])[:1])


def test_a_missed_vector_load_is_seen() -> None:
    A, G = _pair(torch.float32, 8, 256, 999)  # rows begin anywhere
    with pytest.raises(AssertionError):
        _assert_vector_loads(_launch(90, "product_sum", A, G, "none", True))
