"""`overlay` against the formula in float64, and against colours that can be told by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from camfast import ops
from camfast.ops import reference
from camfast.ops.colormaps import COLORMAPS, color_table
from camfast.ops.forms import IMAGE_DTYPES, split_centres
from tests.ops import cases

# (H, W) of the image, (h, w) of the heat
SHAPES = [((1, 1), (1, 1)), ((7, 1), (3, 1)), ((5, 64), (5, 64)), ((63, 65), (7, 2)), ((3, 257), (9, 300)),
          ((130, 47), (14, 14)), ((257, 63), (1, 63))]  # fmt: skip
WHITE = {torch.uint8: 255, torch.uint16: 65535}
# Colours are float32 of levels up to 255 in the kernels: their sums are off by a few last bits, 255·2⁻²³ each; t is
# off by the rounding of the upsampled heat against the span of low and high.
SLACK = 2e-3


def _image(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if dtype in WHITE:
        return torch.randint(0, WHITE[dtype] + 1, shape).to(dtype)
    return (torch.rand(shape, dtype=torch.float64) * 1.4 - 0.2).to(dtype)  # some below black, some above white


def _levels(image: Tensor, black: float, white: float) -> Tensor:
    level = ((image.double() - black) / (white - black)).clamp(0, 1) * 255
    return level if image.ndim == 4 else level[..., None]


def _scaled(heat: Tensor, size: tuple[int, ...], low: float, high: float, sigma: float | None) -> Tensor:
    heat = heat.double()
    if sigma is None:
        u = reference.linear_upsample(heat, size)
    else:
        centres = split_centres(None, heat.shape[1:], size)
        u = reference.gaussian_upsample(heat, size, [sigma] * 2, "average", *centres)
    return 255 * ((u - low) / (high - low)).clamp(0, 1)


def _assert_is(found: Tensor, v: Tensor, shade: Tensor, table: Tensor, alpha: float, threshold: float = 0.0) -> None:
    """A rounding of the exact blend with a nearest colour, where nearest may be either of two within the slack."""
    assert found.dtype == torch.uint8
    assert found.shape == (*shade.shape, 3)
    right = torch.zeros(found.shape, dtype=torch.bool)
    for nudge in (-SLACK, SLACK):
        nudged = (shade + nudge).clamp(0, 255)
        colour = table[nudged.round().long()].double()
        exact = torch.where((nudged < 255 * threshold)[..., None], v, v + (colour - v) * alpha)
        right |= (found.double() - exact).abs() <= 0.5 + SLACK
    assert right.all()


@pytest.mark.parametrize("dtype", IMAGE_DTYPES, ids=str)
@pytest.mark.parametrize("channels", [(), (3,)], ids=["gray", "rgb"])
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_equals_the_formula(
    dtype: torch.dtype, channels: tuple[int, ...], sizes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    size, cells = sizes
    image = _image((2, *size, *channels), dtype)
    heat = torch.randn(2, *cells, dtype=torch.float64)
    white = float(WHITE.get(dtype, 1))
    for heat_dtype, sigma in (
        (torch.float32, None),
        (torch.float64, 2.5),
        (torch.bfloat16, 9.0),
        (torch.float16, None),
    ):
        rounded = heat.to(heat_dtype)
        out = torch.full((2, *size, 3), 77, dtype=torch.uint8)
        assert ops.overlay(image, rounded, low=-1.0, high=1.5, sigma=sigma, alpha=0.4, out=out) is out
        shade = _scaled(rounded, size, -1.0, 1.5, sigma)
        _assert_is(out, _levels(image, 0, white), shade, color_table("jet", image.device), 0.4)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("colormap", COLORMAPS)
def test_colours_alpha_and_range(alpha: float, colormap: str) -> None:
    image, heat = _image((1, 20, 33), torch.uint16), torch.randn(1, 4, 5)
    found = ops.overlay(
        image, heat, low=torch.tensor(1.0), high=torch.tensor(-1.0), colormap=colormap, alpha=alpha,
        image_range=(30000.0, 20000.0),
    )  # fmt: skip
    shade = _scaled(heat, (20, 33), 1.0, -1.0, None)
    _assert_is(found, _levels(image, 30000, 20000), shade, color_table(colormap, heat.device), alpha)


@pytest.mark.parametrize("dtype", IMAGE_DTYPES, ids=str)
@pytest.mark.parametrize("channels", [(), (3,)], ids=["gray", "rgb"])
@pytest.mark.parametrize("threshold", [0.0, 0.4, 1.0])
def test_a_threshold(dtype: torch.dtype, channels: tuple[int, ...], threshold: float) -> None:
    for size, cells, alpha, sigma in (
        ((1, 1), (1, 1), 1.0, None),
        ((19, 67), (5, 6), 0.4, None),
        ((8, 64), (3, 4), 1.0, 7.0),
        ((7, 40), (7, 40), 0.7, None),
    ):
        image, heat = _image((2, *size, *channels), dtype), torch.randn(2, *cells)
        found = ops.overlay(image, heat, low=-1.0, high=0.5, sigma=sigma, alpha=alpha, threshold=threshold)
        shade, v = _scaled(heat, size, -1.0, 0.5, sigma), _levels(image, 0, float(WHITE.get(dtype, 1)))
        _assert_is(found, v, shade, color_table("jet", image.device), alpha, threshold)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_threshold_hides_what_is_below_it_and_no_more(channels: int) -> None:
    t = torch.tensor([0.0, 0.25, 0.5, 1.0, math.nan, -1.0, 2.0]).repeat(7)  # more than a vector, and a rest
    image = torch.arange(t.numel() * channels, dtype=torch.uint8).view(1, 1, -1, channels)
    table = torch.arange(768).remainder(251).to(torch.uint8).view(256, 3)
    colour = table[(255 * t.nan_to_num()).clamp(0, 255).round().long()]
    image = image if channels == 3 else image[..., 0]
    alone = image.view(-1, channels).expand(-1, 3)
    magenta = torch.tensor([255, 0, 255], dtype=torch.uint8)
    for threshold in (0.0, 0.25, 0.5, 1.0, 0.0):
        for low, high in ((0.0, 1.0), (1.0, 0.0)):
            heat = (t if low < high else 1 - t).view(1, 1, -1)
            found = ops.overlay(image, heat, low=low, high=high, colormap=table, alpha=1.0, threshold=threshold)
            expected = torch.where((t.clamp(0, 1) < threshold)[:, None], alone, colour)
            assert torch.equal(found[0, 0], torch.where(t.isnan()[:, None], magenta, expected)), threshold
    flat = ops.overlay(image, torch.ones(1, 1, 1), low=1.0, high=1.0, threshold=0.01)  # t is 0 where low = high
    assert torch.equal(flat[0, 0], alone)


def test_a_table_of_the_caller() -> None:
    table = torch.randint(0, 256, (256, 3), dtype=torch.uint8)
    image, heat = _image((3, 9, 18), torch.uint8), torch.rand(3, 9, 18)
    found = ops.overlay(image, heat, low=0, high=1, colormap=table, alpha=0.7)
    _assert_is(found, _levels(image, 0, 255), 255 * heat.double(), table, 0.7)


def test_known_colours() -> None:
    """Jet from dark blue by cyan, green, yellow to dark red; hot from black to white; gray."""
    ends = {
        "jet": {0: (0, 0, 128), 96: (0, 255, 255), 128: (130, 255, 126), 255: (128, 0, 0)},
        "hot": {0: (0, 0, 0), 96: (255, 1, 0), 255: (255, 255, 255)},
        "gray": {i: (i, i, i) for i in range(256)},
    }
    for name, colours in ends.items():
        table = color_table(name, torch.device("cpu"))
        for index, colour in colours.items():
            assert (table[index].int() - torch.tensor(colour)).abs().max() <= 2


@pytest.mark.parametrize("sigma", [None, 3.0])
def test_equal_bounds_give_the_first_colour(sigma: float | None) -> None:
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    heat = torch.full((1, 2, 2), 3.0)
    found = ops.overlay(image, heat, low=3.0, high=3.0, alpha=1.0, sigma=sigma)
    assert torch.equal(found, color_table("jet", image.device)[0].expand(1, 8, 8, 3))


def test_nan_shows_as_magenta_whatever_alpha() -> None:
    image = _image((2, 12, 37), torch.uint8)
    for bounds in ((0.0, 1.0), (0.5, 0.5)):
        heat = torch.rand(2, 12, 37)
        heat[1, 3, 5], heat[1, 4, 6], heat[1, 5, 7] = math.nan, math.inf, -math.inf
        for alpha in (0.0, 0.5):
            found = ops.overlay(image, heat, low=bounds[0], high=bounds[1], alpha=alpha)
            magenta = (found == torch.tensor([255, 0, 255], dtype=torch.uint8)).all(-1)
            assert magenta.nonzero().tolist() == [[1, 3, 5]]
            ends = heat.nan_to_num(0, 2, -1)
            assert torch.equal(
                found[~magenta], ops.overlay(image, ends, low=bounds[0], high=bounds[1], alpha=alpha)[~magenta]
            )


def test_nan_bounds_of_a_device_show_too() -> None:
    found = ops.overlay(torch.zeros(1, 4, 5), torch.zeros(1, 2, 2), low=torch.tensor(math.nan), high=torch.tensor(1.0))
    assert (found == torch.tensor([255, 0, 255], dtype=torch.uint8)).all()


@pytest.mark.parametrize("channels", [(), (3,)], ids=["gray", "rgb"])
def test_special_numbers_of_the_image(channels: tuple[int, ...]) -> None:
    image = torch.full((1, 3, 21, *channels), 0.25)
    image[0, 0, 3], image[0, 1, 4], image[0, 2, 20] = math.nan, math.inf, -math.inf
    found = ops.overlay(image, torch.zeros(1, 3, 21), low=0.0, high=1.0, alpha=0.0)
    expected = torch.full((1, 3, 21, 3), 64)
    expected[0, 0, 3], expected[0, 1, 4], expected[0, 2, 20] = 0, 255, 0
    assert torch.equal(found.int(), expected)


@pytest.mark.parametrize("layout", cases.LAYOUTS)
def test_any_layout_is_read(layout: str) -> None:
    image = cases.laid_out(_image((2, 11, 19), torch.uint16).int().to(torch.float32), layout)
    heat = cases.laid_out(torch.randn(2, 5, 6), layout)
    found = ops.overlay(image, heat, low=-1, high=1, image_range=(0, 65535))
    shade = _scaled(heat, (11, 19), -1, 1, None)
    _assert_is(found, _levels(image, 0, 65535), shade, color_table("jet", image.device), 0.5)
    picture = _image((2, 3, 11, 19), torch.uint8).movedim(1, -1)  # planes of colours, seen as (N, H, W, 3)
    found = ops.overlay(picture, heat, low=-1, high=1)
    _assert_is(found, _levels(picture, 0, 255), shade, color_table("jet", image.device), 0.5)


def test_into_a_slice_and_empty_batches() -> None:
    image, heat = _image((3, 6, 7), torch.uint8), torch.rand(3, 2, 2)
    room = torch.zeros(3, 2, 6, 7, 3, dtype=torch.uint8)
    found = ops.overlay(image, heat, low=0.0, high=1.0, out=room[:, 1])
    assert torch.equal(found, ops.overlay(image, heat, low=0.0, high=1.0))
    assert not room[:, 0].any()
    assert ops.overlay(image[:0], heat[:0], low=0.0, high=1.0).shape == (0, 6, 7, 3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"image": [[1]]}, TypeError, "image must be a torch tensor, found list"),
        ({"image": torch.zeros(1, 4, 4, dtype=torch.int64)}, TypeError, "image must be one of uint8, uint16, .*int64"),
        ({"image": torch.zeros(4, 4)}, ValueError, r"image must be \(N, H, W\) or \(N, H, W, 3\)"),
        ({"image": torch.zeros(1, 4, 4, 4)}, ValueError, r"image must be .*found the shape \(1, 4, 4, 4\)"),
        ({"image": torch.zeros(1, 0, 4)}, ValueError, "image must be .*at least one pixel"),
        ({"heat": torch.zeros(1, 2, 2, dtype=torch.int32)}, TypeError, "heat must be one of float32"),
        ({"heat": torch.zeros(2, 2, 2)}, ValueError, r"heat must be \(N, h, w\) with the image's N=1"),
        ({"heat": torch.zeros(1, 0, 2)}, ValueError, "at least one cell"),
        ({"heat": torch.zeros(1, 2, 2, device="meta")}, ValueError, "heat is on meta"),
        ({"low": math.nan}, ValueError, "low must be finite, found nan"),
        ({"high": torch.zeros(1)}, ValueError, r"high must be a number or a tensor of no axis, found the shape \(1,\)"),
        ({"high": torch.zeros((), device="meta")}, ValueError, "high is on meta"),
        ({"colormap": "viridis"}, ValueError, r"colormap must be one of gray, hot, jet.*found 'viridis'"),
        ({"colormap": torch.zeros(256, 3)}, ValueError, r"colormap must be uint8 \(256, 3\), found torch.float32"),
        ({"colormap": torch.zeros(16, 3, dtype=torch.uint8)}, ValueError, r"colormap must be .*\(16, 3\)"),
        ({"alpha": 1.5}, ValueError, "alpha must be between 0 .* found 1.5"),
        ({"threshold": -0.1}, ValueError, "threshold must be between 0 .* found -0.1"),
        ({"threshold": 1.5}, ValueError, "threshold must be between 0 .* found 1.5"),
        ({"threshold": math.nan}, ValueError, "threshold must be between 0 .* found nan"),
        ({"sigma": -1.0}, ValueError, "sigma must be one or two positive numbers"),
        ({"sigma": (1.0, 1.0, 1.0)}, ValueError, "sigma must be one or two positive numbers"),
        ({"image_range": (1.0, 1.0)}, ValueError, r"image_range must be two different finite levels"),
        ({"out": torch.zeros(1, 4, 4, 3)}, TypeError, "out must be torch.uint8"),
        ({"out": torch.zeros(1, 4, 3, dtype=torch.uint8)}, ValueError, r"out must have the shape \(1, 4, 4, 3\)"),
        ({"heat": torch.zeros(1, 2, 2, requires_grad=True)}, ValueError, "overlay has no derivative"),
    ],
)
def test_errors_name_the_argument(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"image": torch.zeros(1, 4, 4), "heat": torch.zeros(1, 2, 2), "low": 0.0, "high": 1.0}
    with pytest.raises(error, match=message):
        ops.overlay(**arguments | changes)


def test_an_output_over_the_image_is_refused() -> None:
    image = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match="out shares memory with an input"):
        ops.overlay(image, torch.zeros(1, 2, 2), low=0.0, high=1.0, out=image)


def test_compiled_and_checked_by_torch() -> None:
    image, heat = _image((1, 9, 10), torch.uint8), torch.rand(1, 3, 3)
    table = color_table("jet", image.device)
    arguments = (image, heat, table, torch.tensor(0.0), torch.tensor(1.0), 0.5, None, 0.0, 255.0)
    for threshold in ((), (0.4,)):  # the schema of before there was one is still that of a call
        torch.library.opcheck(torch.ops.camfast.overlay, (*arguments, *threshold))
    options: dict[str, Any] = {"low": 0.0, "high": 1.0, "threshold": 0.4}
    compiled = torch.compile(lambda *pair: ops.overlay(*pair, **options), fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(image, heat), ops.overlay(image, heat, **options))
