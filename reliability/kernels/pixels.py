"""The ops on grids and pictures: a drawn call gives what `exact` says, on the backend that is named."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from camfast import ops
from camfast.ops.colormaps import color_table
from camfast.ops.forms import DTYPES, GAINS, IMAGE_DTYPES, map_dtype, split_centres
from reliability.kernels import exact
from reliability.kernels.hostile import Draw
from reliability.kernels.judging import arithmetic, assert_exact, values
from reliability.kernels.outputs import Output


def gaussian_options(draw: Draw, rank: int) -> dict[str, Any]:
    """Options of the Gaussian upsampling: sensible ones, and those far from it."""
    widths = st.sampled_from((0.3, 1.0, 3.7, 40.0, 1e-3, 1e6))
    options: dict[str, Any] = {"gain": draw.one_of("gain", GAINS)}
    options["sigma"] = [draw(f"sigma[{axis}]", widths) for axis in range(rank)]
    if draw.flag("one sigma"):
        options["sigma"] = options["sigma"][0]
    if draw.flag("own centres"):
        place = st.tuples(st.sampled_from((-1000.0, -3.5, 0.0, 17.0, 1e6)), st.sampled_from((0.01, 1.0, 16.0, 1e5)))
        options["centres"] = [draw(f"centres[{axis}]", place) for axis in range(rank)]
    return options


def place_rounding(backend: str, dtype: torch.dtype) -> float:
    """How exactly the linear upsampling knows a pixel's place: torch's own does in the dtype of maps."""
    return 2.0**-22 if backend == "torch" and dtype == torch.float32 else 2.0**-50


def axes_of(cells: Sequence[int], size: Sequence[int], options: dict[str, Any] | None, places: float) -> list[Any]:
    """The matrices of each axis, linear without options."""
    if options is None:
        return [exact.linear(*axis, places) for axis in zip(cells, size, strict=True)]
    starts, steps = split_centres(options.get("centres"), cells, size)
    sigma = options["sigma"] if isinstance(options["sigma"], list) else [options["sigma"]] * len(size)
    return [exact.gaussian(*axis, options["gain"]) for axis in zip(cells, size, sigma, starts, steps, strict=True)]


def _grid(draw: Draw, room: int) -> tuple[Tensor, tuple[int, ...], int]:
    rank = draw("rank", st.integers(1, 3))
    lead = draw.sizes("lead", draw("leading axes", st.integers(1, 2)), 12)
    cells = draw.sizes("cells", rank, max(1, room // 12), empty=False)
    size = draw.sizes("size", rank, max(1, room // 12), empty=False)
    grid = draw.tensor("grid", (*lead, *cells), draw.one_of("dtype", DTYPES))
    return grid, size, len(lead)


def _check_upsampled(draw: Draw, backend: str, room: int, gaussian: bool) -> None:
    grid, size, lead = _grid(draw, room)
    cells = grid.shape[lead:]
    options = gaussian_options(draw, len(size)) if gaussian else None
    out = Output(draw, (*grid.shape[:lead], *size), 0, map_dtype(grid.dtype))
    grid = out.place(draw, grid)

    def call(o: Tensor | None) -> Tensor:
        if options is None:
            return ops.linear_upsample(grid, size, out=o, backend=backend)
        return ops.gaussian_upsample(grid, size, out=o, backend=backend, **options)

    found = out.call(call, [grid], lambda r: [r])
    if found is None:
        return
    maps = int(np.prod(grid.shape[:lead]))
    numbers = values(grid).reshape(maps, 1, *cells).astype(exact.LONG)
    rules = arithmetic(backend, found.dtype, max(cells))
    expected = exact.upsampled(
        exact.Exact(numbers, np.zeros_like(numbers)),
        axes_of(cells, size, options, place_rounding(backend, found.dtype)),
        rules,
    )
    bad = ~np.isfinite(numbers).all(tuple(range(2, numbers.ndim)))
    assert_exact(found.reshape(maps, 1, *size), expected, bad, "maps")


def linear_upsample(draw: Draw, backend: str, room: int) -> None:
    _check_upsampled(draw, backend, room, gaussian=False)


def gaussian_upsample(draw: Draw, backend: str, room: int) -> None:
    _check_upsampled(draw, backend, room, gaussian=True)


def overlay(draw: Draw, backend: str, room: int) -> None:
    """Every channel within a rounding of the exact blend with a colour that may be the right one."""
    size = draw.sizes("size", 2, max(1, room // 3), empty=False)
    cells = size if draw.flag("same size") else draw.sizes("cells", 2, max(1, room // 3), empty=False)
    samples = draw.one_of("samples", (1, 2, 0))
    dtype, heat_dtype = draw.one_of("image dtype", IMAGE_DTYPES), draw.one_of("heat dtype", DTYPES)
    shape = (samples, *size) if draw.flag("gray") else (samples, *size, 3)
    if dtype.is_floating_point:
        image = draw.tensor("image", shape, dtype, scale=1.0)
    else:
        generator = torch.Generator().manual_seed(draw("image seed", st.integers(0, 99)))
        image = torch.randint(int(torch.iinfo(dtype).max) + 1, shape, generator=generator).to(dtype)
    scale = draw.one_of("heat scale", (1.0, 1e-4, 1e4) if heat_dtype == torch.float16 else (1.0, 1e-20, 1e20, 1e36))
    heat = draw.tensor("heat", (samples, *cells), heat_dtype, scale=scale)
    low, high = draw.one_of("levels", ((-1.0, 1.5), (1.0, -0.5), (0.0, 0.0), (0.0, 1e-3)))
    low, high = low * scale, high * scale
    sigma = None if draw.flag("linear") else draw.one_of("sigma", (0.4, 3.0, 50.0))
    alpha, threshold = draw.one_of("alpha", (0.0, 0.4, 1.0)), draw.one_of("threshold", (0.0, 0.5, 1.0))
    out = Output(draw, (samples, *size, 3), 1, torch.uint8)
    heat = out.place(draw, heat)
    options: dict[str, Any] = {"low": low, "high": high, "sigma": sigma, "alpha": alpha, "threshold": threshold}
    if draw.flag("levels as tensors"):
        options |= {"low": torch.tensor(low), "high": torch.tensor(high)}
        low, high = float(options["low"]), float(options["high"])
    found = out.call(
        lambda o: ops.overlay(image, heat, out=o, backend=backend, **options), [image, heat], lambda r: [r]
    )
    if found is None:
        return
    rules = arithmetic("cpu" if backend == "cpu" else "other", map_dtype(heat_dtype), max(cells))
    numbers = values(heat)[:, None].astype(exact.LONG)
    asked = None if sigma is None else {"sigma": sigma, "gain": "average"}
    infinite = np.isinf(numbers)  # clipped to the ends of the colours, or NaN where two of them meet
    grid = exact.Exact(np.where(infinite, 0, numbers), np.where(infinite, np.inf, 0).astype(exact.LONG))
    maps = exact.upsampled(grid, axes_of(cells, size, asked, place_rounding(backend, map_dtype(heat_dtype))), rules)
    shade, slack = _shades(maps, low, high)
    white = float(torch.iinfo(dtype).max) if not dtype.is_floating_point else 1.0
    with np.errstate(all="ignore"):
        level = 255 * np.clip(np.nan_to_num(values(image).astype(exact.LONG) / white, nan=0.0), 0, 1)
    v = np.broadcast_to(level if len(shape) == 4 else level[..., None], found.shape)
    _assert_blended(values(found), v, shade, slack, alpha, threshold)


def _shades(maps: exact.Exact, low: float, high: float) -> tuple[exact.Array, exact.Array]:
    """The heat from low to high as 0 to 255, and how far it may be off; infinite where nothing is promised."""
    with np.errstate(all="ignore"):
        span = exact.LONG(high) - exact.LONG(low)
        if span == 0:
            return np.where(np.isnan(maps.value[:, 0]), np.nan, 0.0), np.where(
                np.isfinite(maps.bound[:, 0]), 0.0, np.inf
            )
        shade = 255 * np.clip((maps.value[:, 0] - low) / span, 0, 1)
        # levels are subtracted in the dtype of maps
        slack = 2e-3 + 255 * (maps.bound[:, 0] + 2.0**-22 * (abs(low) + np.abs(maps.value[:, 0]))) / abs(span)
        return shade, np.where(np.isfinite(slack), slack, np.inf)


MAGENTA = (255, 0, 255)


def _assert_blended(
    found: exact.Array, v: exact.Array, shade: exact.Array, slack: exact.Array, alpha: float, threshold: float
) -> None:
    table = values(color_table("jet", torch.device("cpu"))).astype(float)
    right = np.zeros(found.shape, bool)
    unknown = np.isnan(shade)
    for nudge in (-1, 0, 1):
        nudged = np.clip(np.nan_to_num(shade + nudge * np.where(np.isfinite(slack), slack, 0)), 0, 255).astype(float)
        colour = table[np.rint(nudged).astype(int)]
        blend = np.where((nudged < 255 * threshold)[..., None], v, v + (colour - v) * alpha)
        right |= np.abs(found - blend) <= 0.5 + 2e-3
    magenta = (found == np.array(MAGENTA)).all(-1, keepdims=True)
    right = np.where(unknown[..., None], magenta, right) | ~np.isfinite(slack)[..., None] & ~unknown[..., None]
    right |= (slack > 0.5)[..., None] & ~unknown[..., None]
    if not right.all():
        at = tuple(int(i) for i in np.argwhere(~right)[0])
        raise AssertionError(f"picture{list(at)} is {found[at]}: v {v[at]}, shade {shade[at[:-1]]} ± {slack[at[:-1]]}")
