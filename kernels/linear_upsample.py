"""Linear interpolation, cells centred half a pixel in and edges clamped, in one to three dimensions.

U[m, z, y, x] = Σ_ijk wz[i, z]·wy[j, y]·wx[k, x] · L[m, fz[z] + i, fy[y] + j, fx[x] + k] over two cells an axis, with
the first cells f and the weights w of each axis' band. A program owns a block of pixels in a few rows; it reads the
cells, which are few, from the first-level cache, and writes the output, which is all that memory sees, once.
"""

import functools
import math
from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from camfast.kernels._axis import Axis, padded
from camfast.kernels._tiles import cdiv, power_of_two, whole
from camfast.kernels._tuning import Config, Tuned, size_class


@triton.jit
def cells_of(first, pixel, inside, TAPS: tl.constexpr):
    """The first cell of each pixel: the pixel itself on an axis that stays as it is."""
    if TAPS == 0:
        cell = pixel
    else:
        cell = tl.load(first + pixel, inside, 0)
    return cell


@triton.jit
def weighted(values, weights, pixel, pixels, inside, tap: tl.constexpr, TAPS: tl.constexpr):
    """Values times the weight that a tap has at each pixel."""
    if TAPS > 0:
        values = tl.load(weights + tap * pixels + pixel, inside, 0.0) * values
    return values


@triton.jit
def linear_upsample_kernel(
    grid, maps,  # L (M, d, h, w), U (M, D, H, W), contiguous
    z_first, z_weights, y_first, y_weights, x_first, x_weights,
    d, h, w, D, H, W,
    Z_TAPS: tl.constexpr, Y_TAPS: tl.constexpr, X_TAPS: tl.constexpr,
    VECTOR: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A block of pixels along x, row by row."""
    W = whole(W, VECTOR)
    program = tl.program_id(0)
    x_blocks, y_blocks = tl.cdiv(W, BLOCK), tl.cdiv(H, ROWS)
    x = program % x_blocks * BLOCK + tl.arange(0, BLOCK)
    program = program // x_blocks
    top = program % y_blocks * ROWS
    program = program // y_blocks
    z, m = program % D, tl.cast(program // D, tl.int64)
    inside = x < W

    corner = grid + (m * d + cells_of(z_first, z, z < D, Z_TAPS)) * h * w + cells_of(x_first, x, inside, X_TAPS)
    target = maps + (m * D + z) * H * W + x
    for y in range(top, tl.minimum(top + ROWS, H)):
        cell = corner + cells_of(y_first, y, y < H, Y_TAPS) * w
        total = tl.zeros((BLOCK,), maps.dtype.element_ty)
        for i in tl.static_range(max(Z_TAPS, 1)):
            plane = tl.zeros((BLOCK,), total.dtype)
            for j in tl.static_range(max(Y_TAPS, 1)):
                row = tl.zeros((BLOCK,), total.dtype)
                for k in tl.static_range(max(X_TAPS, 1)):
                    cells = tl.load(cell + (i * h + j) * w + k, inside, 0.0).to(total.dtype)
                    row += weighted(cells, x_weights, x, W, inside, k, X_TAPS)
                plane += weighted(row, y_weights, y, H, y < H, j, Y_TAPS)
            total += weighted(plane, z_weights, z, D, z < D, i, Z_TAPS)
        tl.store(target + y * W, total, inside)


_kernel = Tuned(linear_upsample_kernel)


def linear_upsample(grid: Tensor, axes: Sequence[Axis], out: Tensor) -> None:
    """Fill out (M, *pixels) from a grid (M, *cells), both contiguous, with the bands of one to three axes."""
    z, y, x = padded(axes)
    width = 16 // out.element_size()
    _kernel(
        (grid.dtype, *(axis.taps for axis in (z, y, x)), size_class(out.numel()), size_class(x.pixels)),
        _configs(x.pixels, width),
        lambda config: (
            len(grid) * z.pixels * cdiv(y.pixels, config["ROWS"]) * cdiv(x.pixels, config["BLOCK"])
        ),
        grid, out, z.first, z.weights, y.first, y.weights, x.first, x.weights,
        z.cells, y.cells, x.cells, z.pixels, y.pixels, x.pixels,
        Z_TAPS=z.taps, Y_TAPS=y.taps, X_TAPS=x.taps, VECTOR=math.gcd(width, x.pixels),
    )  # fmt: skip


@functools.cache
def _configs(pixels: int, width: int) -> list[Config]:
    """Rows in a program, a vector of pixels a thread."""
    configs = []
    for rows, warps in ((4, 4), (8, 2), (16, 1)):
        block = min(power_of_two(pixels), warps * 32 * width)
        configs.append({"ROWS": rows, "BLOCK": block, "num_warps": max(min(warps, block // (32 * width)), 1)})
    return configs
