"""`linear_upsample` of the CUDA sources, on the emulated device: the tests of the op, and what only a GPU has."""

import math

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from tests.cuda.conftest import Device
from tests.ops import cases
from tests.ops.test_linear_upsample import (  # noqa: F401
    test_a_transposed_grid_is_read_as_it_is,
    test_equals_interpolate,
)

pytestmark = pytest.mark.usefixtures("ops_on_device")


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize(
    ("spatial", "size"),
    [((63, 65, 31), (7, 20, 16)), ((5, 6, 7), (5, 6, 7)), ((5, 6, 7), (9, 6, 8)), ((6, 6, 7), (6, 9, 4)),
     ((2, 3), (70, 2060)), ((1, 300), (1, 8))],
    ids=str,
)  # fmt: skip
def test_smaller_maps_untouched_axes_and_slices(
    dtype: torch.dtype, offset: int, spatial: tuple[int, ...], size: tuple[int, ...]
) -> None:
    grid = torch.randn((2, *spatial), dtype=torch.float64).to(dtype)
    room = cases.poisoned((offset + 2 * math.prod(size) + 4,), reference.map_dtype(dtype))
    out = room[offset:-4].view(2, *size)
    ops.linear_upsample(grid, size, out=out)
    assert cases.relative_error(out, reference.linear_upsample(grid.double(), size)) < cases.TOLERANCE[dtype]
    assert room[:offset].isnan().all()
    assert room[-4:].isnan().all()


def test_nan_and_inf_show_where_the_formula_has_them() -> None:
    grid = torch.randn(3, 6, 7, 8)
    grid[1, 2, 3, 4], grid[2, 0, 0, 0] = math.nan, math.inf
    size = (23, 30, 36)
    found, expected = ops.linear_upsample(grid, size), reference.linear_upsample(grid, size)
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found.isinf(), expected.isinf())


def test_one_launch_and_the_same_bits_in_any_order(ops_on_device: Device) -> None:
    grid, results = torch.randn(5, 9, 9, 9), []
    before = ops_on_device.launched()
    for seed in range(3):
        ops_on_device.schedule(seed)
        results.append(ops.linear_upsample(grid, (33, 36, 40)))
    assert ops_on_device.launched() == before + 3
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_no_maps(ops_on_device: Device) -> None:
    before = ops_on_device.launched()
    assert ops.linear_upsample(torch.ones(0, 2, 3, 3), (6, 6)).shape == (0, 2, 6, 6)
    assert ops_on_device.launched() == before
