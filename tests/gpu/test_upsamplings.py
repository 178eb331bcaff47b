"""The upsamplings against the float64 reference: ranks, sizes up and down, gains, centres, dtypes and layouts."""

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import GAINS, Gain, map_dtype, split_centres
from tests.gpu.runners import DTYPES, LAYOUTS, Runner, check

# from one cell and to one pixel, up and down, whole and broken steps, rows that are no multiple of a vector
SIZES = (((1,), (1,)), ((1,), (257,)), ((7,), (64,)), ((257,), (7,)), ((1, 5), (63, 1)), ((14, 14), (224, 224)),
         ((13, 2), (227, 65)), ((63, 64), (7, 9)), ((10, 10, 10), (40, 40, 40)), ((2, 7, 5), (8, 63, 20)),
         ((3, 1, 64), (7, 2, 65)), ((16, 33, 4), (5, 257, 4)))  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_linear_upsample(runner: Runner, dtype: torch.dtype, layout: str) -> None:
    for spatial, size in SIZES:
        for lead in ((3,), (2, 3)):
            grid = runner.place(torch.randn((*lead, *spatial), dtype=torch.float64).to(dtype), layout)
            out = runner.poisoned((*lead, *size), map_dtype(dtype))
            assert ops.linear_upsample(grid, size, out=out, backend=runner.backend) is out
            expected, bound = (reference.linear_upsample(cells, size) for cells in (grid.double(), grid.double().abs()))
            check(out, expected, bound.amax().expand(bound.shape), dtype)


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "misaligned", "negated"])
def test_gaussian_upsample(runner: Runner, gain: Gain, dtype: torch.dtype, layout: str) -> None:
    """A sigma below a cell, one of several, and one beyond the whole picture; centres of the caller's too."""
    for spatial, size in SIZES:
        for sigma, centres in ((0.8, None), (6.0, None), (500.0, None), (3.0, tuple((2.0, 4.5) for _ in spatial))):
            grid = runner.place(torch.randn((2, *spatial), dtype=torch.float64).to(dtype), layout)
            out = runner.poisoned((2, *size), map_dtype(dtype))
            starts, steps = split_centres(centres, spatial, size)
            if gain == "average" and max(steps) > 4 * sigma:
                continue  # between cells far apart the quotient is decided by terms that the truncation leaves out
            ops.gaussian_upsample(grid, size, sigma, gain=gain, centres=centres, out=out, backend=runner.backend)
            expected, bound = (
                reference.gaussian_upsample(cells, size, [sigma] * len(size), gain, starts, steps)
                for cells in (grid.double(), grid.double().abs())
            )
            # double precision too leaves the tails out
            allowed = torch.float32 if dtype == torch.float64 else dtype
            check(out, expected, bound.amax().expand(bound.shape), allowed)


@pytest.mark.parametrize("upsample", ["linear", "gaussian"])
def test_into_a_part_of_another_tensor(runner: Runner, upsample: str) -> None:
    """Rows that start anywhere, and nothing written beside them."""
    grid = runner.place(torch.randn(3, 5, 6))
    for start in range(4):
        room = runner.poisoned((3 * 7 * 33 + 8,), torch.float32)
        out = room[start : start + 3 * 7 * 33].view(3, 7, 33)
        if upsample == "linear":
            ops.linear_upsample(grid, (7, 33), out=out, backend=runner.backend)
            expected = reference.linear_upsample(grid.double(), (7, 33))
        else:
            ops.gaussian_upsample(grid, (7, 33), 2.0, out=out, backend=runner.backend)
            expected = ops.gaussian_upsample(grid.double(), (7, 33), 2.0, backend="torch")
        check(out, expected, expected.abs().amax().expand(out.shape), torch.float32)
        assert room[:start].isnan().all()
        assert room[start + 3 * 7 * 33 :].isnan().all()


def test_large_maps(runner: Runner) -> None:
    """Many tiles along every axis, and many maps."""
    small = runner.device == "cpu"
    for spatial, size in (((3, 9, 30, 30), (41, 130, 127)), ((700, 3, 3), (17, 33))):
        if small:
            spatial = (1, *spatial[1:])
        grid = runner.place(torch.randn(spatial))
        expected = reference.linear_upsample(grid.double(), size)
        found = ops.linear_upsample(grid, size, backend=runner.backend)
        check(found, expected, grid.abs().amax().double().expand(found.shape), torch.float32)
        expected = ops.gaussian_upsample(grid.double(), size, 6.0, backend="torch")
        found = ops.gaussian_upsample(grid, size, 6.0, backend=runner.backend)
        check(found, expected, expected.abs().amax().expand(found.shape), torch.float32)
