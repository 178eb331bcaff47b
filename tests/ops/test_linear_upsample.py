"""`linear_upsample` against torch's own interpolation, in float64."""

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from tests.ops import cases

SHAPES = [
    ((1,), (1,)),
    ((7,), (64,)),
    ((64,), (7,)),
    ((257,), (300,)),
    ((1, 5), (3, 20)),
    ((7, 7), (63, 64)),
    ((13, 13), (227, 227)),
    ((2, 7, 5), (8, 63, 2)),
    ((10, 10, 10), (40, 40, 40)),
    ((3, 1, 64), (7, 2, 65)),
]


@pytest.mark.parametrize(("spatial", "size"), SHAPES, ids=str)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("lead", [(1,), (7,), (2, 3)], ids=str)
def test_equals_interpolate(
    spatial: tuple[int, ...], size: tuple[int, ...], dtype: torch.dtype, lead: tuple[int, ...]
) -> None:
    grid = torch.randn((*lead, *spatial), dtype=torch.float64).to(dtype)
    out = cases.poisoned((*lead, *size), reference.map_dtype(dtype))
    assert ops.linear_upsample(grid, size, out=out) is out
    assert cases.relative_error(out, reference.linear_upsample(grid.double(), size)) < cases.TOLERANCE[dtype]


def test_a_transposed_grid_is_read_as_it_is() -> None:
    grid = torch.randn(2, 6, 5).transpose(1, 2)
    assert torch.equal(ops.linear_upsample(grid, (9, 9)), ops.linear_upsample(grid.contiguous(), (9, 9)))


def test_errors_name_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"grid must be \(N, \*S\) or \(N, T, \*S\) with 2 spatial axes"):
        ops.linear_upsample(torch.ones(4, 4), (8, 8))
    with pytest.raises(ValueError, match=r"need positive axes, found \(0,\) and \(4,\)"):
        ops.linear_upsample(torch.ones(1, 4), (0,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_millions_of_pixels(dtype: torch.dtype) -> None:
    grid = torch.randn(1, 63, 64, 63).to(dtype)
    size = (127, 160, 200)
    out = cases.poisoned((1, *size), torch.float32)
    assert ops.linear_upsample(grid, size, out=out) is out
    expected = ops.linear_upsample(grid.double(), size, backend="torch")
    assert (out.double() - expected).abs().max() <= 1e-6 * expected.abs().max()
