"""`overlay` of the CUDA sources, on the emulated device: the tests of the op, and what only a GPU has."""

import math

import pytest
import torch

from camfast import ops
from camfast.ops import cuda
from camfast.ops.colormaps import color_table
from tests.cuda.conftest import Device
from tests.ops.test_overlay import (  # noqa: F401
    _assert_is,
    _image,
    _levels,
    _scaled,
    test_a_table_of_the_caller,
    test_a_threshold,
    test_a_threshold_hides_what_is_below_it_and_no_more,
    test_any_layout_is_read,
    test_colours_alpha_and_range,
    test_equal_bounds_give_the_first_colour,
    test_equals_the_formula,
    test_into_a_slice_and_empty_batches,
    test_nan_bounds_of_a_device_show_too,
    test_nan_shows_as_magenta_whatever_alpha,
    test_special_numbers_of_the_image,
)

pytestmark = pytest.mark.usefixtures("ops_on_device")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("channels", [(), (3,)], ids=["gray", "rgb"])
@pytest.mark.parametrize("sigma", [None, 4.0, 40.0])
@pytest.mark.parametrize("width", [4, 128, 132, 1040])
@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_whole_quads(
    dtype: torch.dtype, channels: tuple[int, ...], sigma: float | None, width: int, threshold: float
) -> None:
    """Widths that are read and written in vectors, and an output that is aligned to 16, 4 and 1 bytes."""
    image, heat = _image((2, 9, width, *channels), dtype), torch.randn(2, 5, 11)
    white = {torch.uint8: 255.0, torch.uint16: 65535.0}.get(dtype, 1.0)
    shade = _scaled(heat, (9, width), -1.0, 1.0, sigma)
    for offset in (0, 4, 1):
        room = torch.zeros(offset + 2 * 9 * width * 3, dtype=torch.uint8)
        out = room[offset:].view(2, 9, width, 3)
        ops.overlay(image, heat, low=-1.0, high=1.0, sigma=sigma, threshold=threshold, out=out)
        _assert_is(out, _levels(image, 0, white), shade, color_table("jet", image.device), 0.5, threshold)
        assert not room[:offset].any()


def test_a_heat_that_is_larger_than_its_image() -> None:
    image, heat = _image((1, 20, 16), torch.uint8), torch.randn(1, 300, 70)
    for sigma in (None, 3.0):
        found = ops.overlay(image, heat, low=-0.5, high=0.5, sigma=sigma)
        shade = _scaled(heat, (20, 16), -0.5, 0.5, sigma)
        _assert_is(found, _levels(image, 0, 255), shade, color_table("jet", image.device), 0.5)


def test_the_device_checks_the_threshold(device: Device) -> None:
    image, heat = torch.zeros(1, 4, 4, dtype=torch.uint8), torch.zeros(1, 2, 2)
    table = color_table("jet", image.device)
    for threshold in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="threshold: is not between 0 and 1"):
            cuda.overlay(image, heat, table, 0.0, 1.0, 0.5, None, 0.0, 255.0, threshold)


def test_one_launch(ops_on_device: Device) -> None:
    before = ops_on_device.launched()
    ops.overlay(_image((2, 8, 8), torch.uint8), torch.rand(2, 2, 2), low=torch.tensor(0.0), high=1.0, sigma=2.0)
    assert ops_on_device.launched() == before + 1
