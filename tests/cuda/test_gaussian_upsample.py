"""`gaussian_upsample` of the CUDA sources, on the emulated device: the tests of the op, and what only a GPU has."""

import math

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import GAINS, Gain, split_centres
from tests.cuda.conftest import Device
from tests.ops import cases
from tests.ops.test_gaussian_upsample import (  # noqa: F401
    TRUNCATION,
    test_average_keeps_a_constant_and_mass_keeps_the_sum,
    test_equals_the_untruncated_sum,
    test_equals_zero_insertion_and_filtering,
    test_spray_has_the_gain_of_the_formula_inside,
)

pytestmark = pytest.mark.usefixtures("ops_on_device")


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize(
    ("spatial", "size", "sigma"),
    [((40, 30, 24), (9, 12, 8), 2.0), ((63, 5), (257, 68), 90.0), ((5, 257, 3), (8, 40, 64), 60.0),
     ((24, 24, 24), (32, 64, 40), 30.0), ((6, 1, 7), (48, 1, 4), 3.0)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("offset", [0, 1])
def test_more_taps_than_fit_smaller_maps_and_slices(
    dtype: torch.dtype, gain: Gain, spatial: tuple[int, ...], size: tuple[int, ...], sigma: float, offset: int
) -> None:
    """Bands so wide that planes are remade and rows come in parts, on a device of little shared memory."""
    grid = torch.randn((2, *spatial), dtype=torch.float64).to(dtype)
    room = cases.poisoned((offset + 2 * math.prod(size) + 4,), reference.map_dtype(dtype))
    out = room[offset:-4].view(2, *size)
    ops.gaussian_upsample(grid, size, sigma, gain=gain, out=out)
    starts, steps = split_centres(None, spatial, size)
    expected = reference.gaussian_upsample(grid.double(), size, [sigma] * len(size), gain, starts, steps)
    assert (out.double() - expected).abs().max() <= (TRUNCATION + 1e-6) * expected.abs().max()
    assert room[:offset].isnan().all()
    assert room[-4:].isnan().all()


def test_centres_closer_than_the_map_is_wide() -> None:
    """More cells in a group of pixels than evenly spread centres would bring."""
    grid = torch.randn(1, 60, 20, dtype=torch.float64)
    centres = ((3.0, 0.7), (5.0, 1.1))
    found = ops.gaussian_upsample(grid, (120, 64), 1.5, centres=centres)
    starts, steps = split_centres(centres, (60, 20), (120, 64))
    expected = reference.gaussian_upsample(grid, (120, 64), [1.5, 1.5], "spray", starts, steps)
    assert (found - expected).abs().max() <= TRUNCATION * expected.abs().max()


def test_nan_stays_in_its_map() -> None:
    grid = torch.randn(3, 9, 9)
    clean = ops.gaussian_upsample(grid, (64, 64), 2.0)
    grid[1, 4, 4] = math.nan
    found = ops.gaussian_upsample(grid, (64, 64), 2.0)
    assert found[1].isnan().any()
    assert torch.equal(found[[0, 2]], clean[[0, 2]])


def test_one_launch_and_the_same_bits_in_any_order(ops_on_device: Device) -> None:
    grid, results = torch.randn(5, 9, 9, 9), []
    before = ops_on_device.launched()
    for seed in range(3):
        ops_on_device.schedule(seed)
        results.append(ops.gaussian_upsample(grid, (33, 36, 40), 5.0))
    assert ops_on_device.launched() == before + 3
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
