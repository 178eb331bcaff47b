"""`gaussian_upsample` against the untruncated sum in float64, and against zero insertion and filtering."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import GAINS, Gain, split_centres
from tests.ops import cases

SHAPES = [((1,), (1,)), ((7,), (64,)), ((257,), (300,)), ((1, 5), (3, 20)), ((13, 13), (227, 227)),
          ((2, 7, 5), (8, 63, 20)), ((10, 10, 10), (40, 40, 40)), ((3, 1, 64), (7, 2, 65))]  # fmt: skip
# what the kernels leave out beyond 5.5 σ, relative to the maximum (formulas: 3e-7), on top of the rounding
TRUNCATION = 3e-7


@pytest.mark.parametrize(("spatial", "size"), SHAPES, ids=str)
@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_equals_the_untruncated_sum(
    spatial: tuple[int, ...], size: tuple[int, ...], gain: Gain, dtype: torch.dtype
) -> None:
    for sigma in (0.8, 6.0):
        for centres in (None, tuple((3.0, 5.5) for _ in spatial)):
            if gain == "average" and centres is not None and sigma == 0.8:
                continue  # between cells far apart the quotient is decided by terms that the truncation leaves out
            grid = torch.randn((2, 3, *spatial), dtype=torch.float64).to(dtype)
            out = cases.poisoned((2, 3, *size), reference.map_dtype(dtype))
            assert ops.gaussian_upsample(grid, size, sigma, gain=gain, centres=centres, out=out) is out
            starts, steps = split_centres(centres, spatial, size)
            sigmas = [sigma] * len(size)
            expected = reference.gaussian_upsample(grid.double(), size, sigmas, gain, starts, steps)
            allowed = (TRUNCATION + 1e-6) * expected.abs().max()
            assert not out.isnan().any()
            assert (out.double() - expected).abs().max() <= allowed


@pytest.mark.parametrize(("cells", "scale", "sigma"), [(9, 4, 6.0), (7, 3, 2.0), (16, 8, 5.0)])
def test_equals_zero_insertion_and_filtering(cells: int, scale: int, sigma: float) -> None:
    grid = torch.randn(2, cells, cells, dtype=torch.float64)
    reach = math.ceil(8 * sigma)
    n = torch.arange(-reach, reach + scale, dtype=torch.float64)  # pixels around a cell's first one
    taps = torch.exp(-((n - (scale - 1) / 2) ** 2) / (2 * sigma**2))
    spread = F.conv_transpose2d(grid[:, None], torch.outer(taps, taps)[None, None], stride=scale)
    expected = spread[:, 0, reach : reach + cells * scale, reach : reach + cells * scale]
    found = ops.gaussian_upsample(grid, (cells * scale,) * 2, sigma)
    assert (found - expected).abs().max() <= TRUNCATION * expected.abs().max()


def test_average_keeps_a_constant_and_mass_keeps_the_sum() -> None:
    grid = torch.rand(2, 6, 5, 4)
    size = (24, 19, 17)
    flat = ops.gaussian_upsample(torch.full((2, 6, 5, 4), 3.25), size, 5.0, gain="average")
    assert (flat - 3.25).abs().max() < 3.25 * 1e-6
    mass = ops.gaussian_upsample(grid, size, 5.0, gain="mass")
    assert torch.allclose(mass.double().sum((1, 2, 3)), grid.double().sum((1, 2, 3)), rtol=1e-6)


def test_centres_may_be_an_array() -> None:
    grid, centres = torch.rand(1, 4, 4), [(0.5, 2.0), (1.5, 2.0)]
    expected = ops.gaussian_upsample(grid, (8, 8), 2.0, centres=centres)
    assert torch.equal(ops.gaussian_upsample(grid, (8, 8), 2.0, centres=np.array(centres)), expected)  # type: ignore[arg-type]


def test_spray_has_the_gain_of_the_formula_inside() -> None:
    maps = ops.gaussian_upsample(torch.ones(1, 40), (160,), 6.0)
    assert abs(float(maps[0, 80]) - math.sqrt(2 * math.pi) * 6.0 / 4) < 1e-5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma": -1.0}, "sigma must be positive and finite"),
        ({"sigma": (1.0, 2.0, 3.0)}, r"sigma must be one number or 2 .*found 3"),
        ({"sigma": 1.0, "gain": "loud"}, "gain must be one of spray, average, mass, found 'loud'"),
        ({"sigma": 1.0, "centres": [(0.0, 1.0)]}, r"centres must hold \(start, step\) for each of 2"),
        (
            {"sigma": 1.0, "centres": (0.5, 2.0)},
            r"centres must hold \(start, step\) in pixels for each.*found \(0.5, 2.0\)",
        ),
        (
            {"sigma": 1.0, "centres": [(0.5,), (0.5, 2, 3)]},
            r"centres must hold \(start, step\) in pixels for each spatial",
        ),
        ({"sigma": 1.0, "centres": [(0.0, 1.0), (0.0, 0.0)]}, "centres must be finite with positive steps"),
    ],
)
def test_errors_name_the_argument(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.gaussian_upsample(torch.ones(1, 4, 4), (8, 8), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_millions_of_pixels(dtype: torch.dtype) -> None:
    grid = torch.randn(1, 63, 64, 63).to(dtype)
    size = (127, 160, 200)
    out = cases.poisoned((1, *size), torch.float32)
    assert ops.gaussian_upsample(grid, size, 6.0, out=out) is out
    expected = ops.gaussian_upsample(grid.double(), size, 6.0, backend="torch")
    assert (out.double() - expected).abs().max() <= (TRUNCATION + 1e-6) * expected.abs().max()
