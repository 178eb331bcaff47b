"""A map over the image that it explains, as a picture: upsampled, scaled, coloured and blended."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from camfast.ops.checks import LARGEST, SMALLEST, check_dense, check_image, check_same_device, check_tensor
from camfast.ops.colormaps import COLORMAPS, color_table
from camfast.ops.forms import per_axis
from camfast.ops.registry import Op, ResultShape

# levels of black and white, by the image's dtype; 0 and 1 for every float
_IMAGE_RANGES = {torch.uint8: (0.0, 255.0), torch.uint16: (0.0, 65535.0)}


def overlay(
    image: Tensor,
    heat: Tensor,
    *,
    low: float | Tensor,
    high: float | Tensor,
    colormap: str | Tensor = "jet",
    alpha: float = 0.5,
    threshold: float = 0.0,
    sigma: float | Sequence[float] | None = None,
    image_range: tuple[float, float] | None = None,
    out: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Lay a map in colour over its image, in one pass.

    With the map upsampled to U on the image's pixels::

        t = clip((U − low) / (high − low), 0, 1)            0 where low = high
        colour = table[round(255·t)]
        v = 255 · clip((image − black) / (white − black), 0, 1)
        result = round(v + (colour − v)·alpha)           round(v) where t < threshold

    A pixel whose t is NaN is magenta, whatever alpha and threshold; one whose image is NaN counts as black.

    Parameters
    ----------
    image
        (N, H, W), or (N, H, W, 3) in red, green and blue; uint8, uint16, float64, float32, bfloat16 or float16.
    heat
        (N, h, w); float64, float32, bfloat16 or float16, on the image's device.
    low, high
        Values of the heat for both ends of the colours, numbers or tensors of no axis on the image's device. On a CUDA
        device the kernel reads the tensors, so that nothing waits for them.
    colormap
        ``"jet"``, ``"hot"``, ``"gray"``, or a table (256, 3) of red, green and blue, uint8, on the image's device.
    alpha
        Opacity of the colours, 0 (the image alone) to 1 (the colours alone).
    threshold
        Share of the colours' scale, 0 to 1, below which the image is shown alone: 0 hides nothing, 0.5 the lower half,
        1 all below `high`.
    sigma
        None: the heat is upsampled as by `linear_upsample`; else σ in pixels of the image, one number or one an axis,
        as by `gaussian_upsample` with the gain ``"average"``, which keeps the heat comparable with low and high.
    image_range
        (black, white), levels of the image. By default (0, 255) for uint8, (0, 65535) for uint16, (0, 1) for floats.
    out
        Tensor to write into, uint8, each picture contiguous.
    backend
        See `camfast.backends`.

    Returns
    -------
    Tensor
        (N, H, W, 3), uint8. It has no derivative.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.
    camfast.BackendError
        If the backend can't run on the device.

    Examples
    --------
    >>> image = torch.tensor([[[0, 128, 255]]], dtype=torch.uint8)
    >>> heat = torch.tensor([[[0.0, 1.0, 2.0]]])
    >>> camfast.ops.overlay(image, heat, low=0.0, high=2.0, colormap="hot", alpha=1.0)
    tensor([[[[  0,   0,   0],
              [255,  86,   0],
              [255, 255, 255]]]], dtype=torch.uint8)
    >>> camfast.ops.overlay(image, heat, low=0.0, high=2.0, colormap="hot", alpha=1.0, threshold=0.75)
    tensor([[[[  0,   0,   0],
              [128, 128, 128],
              [255, 255, 255]]]], dtype=torch.uint8)
    """
    check_image(image)
    black, white = _IMAGE_RANGES.get(image.dtype, (0.0, 1.0)) if image_range is None else map(float, image_range)
    return _op(
        image, heat, _table(colormap, image.device), _level("low", low, image), _level("high", high, image),
        float(alpha), None if sigma is None else per_axis(sigma, 2), black, white, float(threshold),
        out=out, backend=backend,
    )  # fmt: skip


def _table(colormap: str | Tensor, device: torch.device) -> Tensor:
    if isinstance(colormap, Tensor):
        return colormap
    if colormap not in COLORMAPS:
        raise ValueError(
            f"colormap must be one of {', '.join(COLORMAPS)}, or a uint8 tensor (256, 3); found {colormap!r}"
        )
    return color_table(colormap, device)


def _level(name: str, value: float | Tensor, image: Tensor) -> float | Tensor:
    """A number, or a float32 tensor of no axis on the image's device."""
    if not isinstance(value, Tensor):
        return float(value)
    check_dense(name, value)
    if value.ndim != 0:
        raise ValueError(f"{name} must be a number or a tensor of no axis, found the shape {tuple(value.shape)}")
    check_same_device(image, value, name)
    return value if value.dtype == torch.float32 else value.float()


def _check(
    image: Tensor,
    heat: Tensor,
    table: Tensor,
    low: float | Tensor,
    high: float | Tensor,
    alpha: float,
    sigma: Sequence[float] | None,
    black: float,
    white: float,
    threshold: float,
) -> ResultShape:
    check_image(image)
    check_tensor("heat", heat)
    if heat.ndim != 3 or heat.shape[0] != image.shape[0] or 0 in heat.shape[1:]:
        raise ValueError(
            f"heat must be (N, h, w) with the image's N={image.shape[0]} and at least one cell, "
            f"found the shape {tuple(heat.shape)}"
        )
    check_same_device(image, heat, "heat")
    check_dense("colormap", table)
    if table.dtype != torch.uint8 or table.shape != (256, 3):
        raise ValueError(f"colormap must be uint8 (256, 3), found {table.dtype} {tuple(table.shape)}")
    check_same_device(image, table, "colormap")
    for name, level in (("low", low), ("high", high)):
        if not isinstance(level, Tensor) and not math.isfinite(level):
            raise ValueError(f"{name} must be finite, found {level}: the lowest or highest value of the heat to show")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be between 0 (the image alone) and 1 (the colours alone), found {alpha}")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be between 0 (nothing hidden) and 1 (all below high), found {threshold}")
    if sigma is not None and (len(sigma) != 2 or not all(SMALLEST <= value <= LARGEST for value in sigma)):
        raise ValueError(
            f"sigma must be one or two positive numbers of pixels, {SMALLEST} to {LARGEST}; found {tuple(sigma)}"
        )
    if not (math.isfinite(black) and math.isfinite(white)) or black == white:
        raise ValueError(f"image_range must be two different finite levels (black, white), found {(black, white)}")
    return ResultShape((image.shape[0],), (*image.shape[1:3], 3), torch.uint8)


_op = Op(
    "overlay",
    "Tensor image, Tensor heat, Tensor table, Tensor low, Tensor high, float alpha, float[]? sigma, float black, "
    "float white, float threshold=0.0",
    _check,
)
