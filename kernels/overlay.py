"""Heat over an image: upsampling, scaling, colour and blending in one pass, from any image to bytes.

u = the heat at the pixel (linear), t = clip((u − low) / (high − low), 0, 1), colour = table[round(255 t)], v = 255 ·
clip((image − black) / (white − black), 0, 1), result = round(v + (colour − v)·alpha), with alpha 0
where t < threshold; magenta where u is NaN.

A program owns a block of pixels of one row. Three bytes a pixel make bad stores: where a row is a whole number of
words, the pixels' colours are exchanged within the program and leave as words, side by side.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from camfast.kernels._axis import Axis
from camfast.kernels._tiles import cdiv, power_of_two, strides
from camfast.kernels.linear_upsample import cells_of, weighted

_BLOCK = 1024


@triton.jit
def nearest(number):
    """The nearest integer, halves to the even one as torch rounds: 1.5·2²³ leaves no bits for a fraction."""
    return ((number + 12582912.0) - 12582912.0).to(tl.int32)


@triton.jit
def within(number, most):
    """The number within 0 and the most; 0 for NaN."""
    return tl.minimum(tl.maximum(tl.where(number == number, number, 0.0), 0.0), most)


@triton.jit
def blended(image, colour, black, gain, alpha):
    """The byte of an image's level under a colour."""
    level = within((image.to(tl.float32) - black) * gain, 255.0)
    return nearest(level + (colour.to(tl.float32) - level) * alpha)


@triton.jit
def overlay_kernel(
    image, heat, table, result,  # (N, H, W[, 3]), (N, h, w) contiguous, (256, 3) bytes, (N, H, W, 3) bytes or words
    low, high, alpha, black, gain, threshold,  # low and high: numbers, or where they are; gain = 255 / (white - black)
    y_first, y_weights, x_first, x_weights,
    h, w, H, W, o_n, i_n, i_y, i_x, i_c,  # o_n in bytes or words
    Y_TAPS: tl.constexpr, X_TAPS: tl.constexpr, ON_DEVICE: tl.constexpr, GRAY: tl.constexpr, WORDS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """A block of pixels of a row."""
    if ON_DEVICE:
        low, high = tl.load(low).to(tl.float32), tl.load(high).to(tl.float32)
    blocks = tl.cdiv(W, BLOCK)
    program = tl.program_id(0)
    block, row = program % blocks, tl.cast(program // blocks, tl.int64)
    y, n = row % H, row // H
    x = block * BLOCK + tl.arange(0, BLOCK)
    inside = x < W

    corner = heat + (n * h + cells_of(y_first, y, y < H, Y_TAPS)) * w + cells_of(x_first, x, inside, X_TAPS)
    u = tl.zeros((BLOCK,), tl.float32)
    for j in tl.static_range(max(Y_TAPS, 1)):
        line = tl.zeros((BLOCK,), tl.float32)
        for k in tl.static_range(max(X_TAPS, 1)):
            cells = tl.load(corner + j * w + k, inside, 0.0).to(tl.float32)
            line += weighted(cells, x_weights, x, W, inside, k, X_TAPS)
        u += weighted(line, y_weights, y, H, y < H, j, Y_TAPS)
    t = tl.where(low == high, 0.0, (u - low) / (high - low))
    shown = (t == t) & (u == u)
    t = within(t, 1.0)
    opacity = tl.where(t < threshold, 0.0, alpha)
    colour = table + 3 * nearest(255.0 * t)

    pixel = image + n * i_n + y * i_y + x * tl.cast(i_x, tl.int64)
    red = tl.load(pixel, inside, 0)
    green = red if GRAY else tl.load(pixel + i_c, inside, 0)
    blue = red if GRAY else tl.load(pixel + 2 * tl.cast(i_c, tl.int64), inside, 0)
    red = blended(red, tl.load(colour), black, gain, opacity)
    green = blended(green, tl.load(colour + 1), black, gain, opacity)
    blue = blended(blue, tl.load(colour + 2), black, gain, opacity)
    rgb = tl.where(shown, red | (green << 8) | (blue << 16), 0xFF00FF)

    if WORDS:
        # word v holds bytes 4v to 4v + 3, which belong to pixel 4v // 3 and the one behind it
        v = tl.arange(0, BLOCK)
        front = tl.minimum(4 * v // 3, BLOCK - 1)
        behind = tl.minimum(front + 1, BLOCK - 1)
        both = tl.gather(rgb, front, 0).to(tl.int64) | (tl.gather(rgb, behind, 0).to(tl.int64) << 24)
        word = (both >> (8 * (v % 3))).to(tl.int32)
        first_word = n * o_n + y * (W // 4 * 3) + block * (BLOCK // 4 * 3)
        tl.store(result + first_word + v, word, (v < BLOCK // 4 * 3) & (block * (BLOCK // 4 * 3) + v < W // 4 * 3))
    else:
        target = result + n * o_n + 3 * (y * W + x)
        tl.store(target, (rgb & 255).to(tl.uint8), inside)
        tl.store(target + 1, (rgb >> 8 & 255).to(tl.uint8), inside)
        tl.store(target + 2, (rgb >> 16).to(tl.uint8), inside)


def overlay(
    image: Tensor,
    heat: Tensor,
    axes: tuple[Axis, Axis],
    table: Tensor,
    low: float | Tensor,
    high: float | Tensor,
    alpha: float,
    black: float,
    white: float,
    threshold: float,
    out: Tensor,
) -> None:
    """Fill out, bytes (N, H, W, 3), each picture contiguous, from an image (N, H, W) or (N, H, W, 3) of any strides.

    ``heat`` is (N, h, w) and ``table`` (256, 3) bytes, both contiguous; ``axes`` are y and x. ``low`` and ``high`` are
    both numbers, or both tensors of one element on the image's device, which nothing waits for.
    """
    N, H, W, _ = out.shape
    y, x = axes
    gray = image.ndim == 3
    block = max(min(power_of_two(W), _BLOCK), 4)
    o_n = out.stride(0) if N > 1 else 0
    words = W % 4 == o_n % 4 == out.data_ptr() % 4 == out.storage_offset() % 4 == 0
    overlay_kernel[(N * H * cdiv(W, block),)](
        image, heat, table, out.as_strided((4,), (1,)).view(torch.int32) if words else out,
        low, high, alpha, black, 255.0 / (white - black), threshold, y.first, y.weights, x.first, x.weights,
        y.cells, x.cells, H, W, o_n // 4 if words else o_n, *strides(image), *((0,) if gray else ()),
        Y_TAPS=y.taps, X_TAPS=x.taps, ON_DEVICE=isinstance(low, Tensor), GRAY=gray, WORDS=words, BLOCK=block,
    )  # fmt: skip
