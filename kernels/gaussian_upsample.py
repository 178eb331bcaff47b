"""Every cell sprays a Gaussian on the pixels (Kim et al. 2020, eq. 4): U = Wz · Wy · Wx · L, a banded matrix an axis.

A small grid goes through all its axes in one launch. A program takes some planes z of a map; it keeps all cells and
works plane by plane: Wy · (Σ_k Wz[k, z] L[k]) · Wxᵀ, the matrices dense. Such a grid may still lie in the partial
maps of `fused_cam`, which are added up on the way.

Other grids take a launch an axis, x first, where there is least to do, and z last, where the map is written. A
program owns a block of pixels along the axis and of lines across it; it reads each cell of its lines once and adds it
to all pixels of the block.
"""

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from camfast.kernels._axis import Axis, padded
from camfast.kernels._partials import any_flag
from camfast.kernels._tiles import cdiv, power_of_two, relu, strides, whole
from camfast.kernels._tuning import Config, Tuned, size_class

_SMALL_PLANE = 32  # cells along y and x of a small grid, and
_SMALL_GRID = 4096  # cells of it together, which a program has in registers
_PLANES = 4  # of pixels that a program takes through all axes


@triton.jit
def band(first, weights, cell, pixel, pixels, TAPS: tl.constexpr):
    """The matrix W[cell, pixel] of an axis: 0 outside its band, the identity for an axis that stays as it is."""
    if TAPS == 0:
        matrix = (cell == pixel).to(tl.float32)
    else:
        tap = cell - tl.load(first + pixel, pixel < pixels, 0)
        matrix = tl.load(weights + tap * pixels + pixel, (tap >= 0) & (tap < TAPS) & (pixel < pixels), 0.0)
    return matrix


@triton.jit
def upsample_small_kernel(
    partials, grid, maps,  # (splits, M, d, h, w), L (M, d, h, w), U (M, D, H, W), contiguous
    channel_flags, flags,  # bytes (M, C) and (M // T, T), the latter of any strides
    z_first, z_weights, y_first, y_weights, x_first, x_weights,
    splits, M, d, h, w, D, H, W, T, C, f_n, f_t,
    Z_TAPS: tl.constexpr, Y_TAPS: tl.constexpr, X_TAPS: tl.constexpr,
    RELU: tl.constexpr, STORE_GRID: tl.constexpr, FLAGS: tl.constexpr, PLANES: tl.constexpr, VECTOR: tl.constexpr,
    CELLS_Z: tl.constexpr, CELLS_Y: tl.constexpr, CELLS_X: tl.constexpr, BLOCK_Y: tl.constexpr, BLOCK_X: tl.constexpr,
):  # fmt: skip
    """Some planes of a map, from all of its cells."""
    SUM: tl.constexpr = maps.dtype.element_ty
    W = whole(W, VECTOR)
    x_blocks, y_blocks, z_blocks = tl.cdiv(W, BLOCK_X), tl.cdiv(H, BLOCK_Y), tl.cdiv(D, PLANES)
    block = tl.program_id(0)
    x = block % x_blocks * BLOCK_X + tl.arange(0, BLOCK_X)
    y = block // x_blocks % y_blocks * BLOCK_Y + tl.arange(0, BLOCK_Y)
    z_first_plane = block // x_blocks // y_blocks % z_blocks * PLANES
    m = tl.cast(block // x_blocks // y_blocks // z_blocks, tl.int64)

    k = tl.arange(0, CELLS_Z)
    j = tl.arange(0, CELLS_Y)
    i = tl.arange(0, CELLS_X)
    cell = m * d * h * w + (k[:, None, None] * h + j[None, :, None]) * w + i[None, None, :]
    inside = (k < d)[:, None, None] & (j < h)[None, :, None] & (i < w)[None, None, :]
    L = tl.zeros((CELLS_Z, CELLS_Y, CELLS_X), SUM)
    for split in range(splits):
        L += tl.load(partials + tl.cast(split, tl.int64) * M * d * h * w + cell, inside, 0.0).to(SUM)
    if RELU:
        L = relu(L)
    first_block = block % (x_blocks * y_blocks * z_blocks) == 0
    if STORE_GRID:
        tl.store(grid + cell, L, inside & first_block)
    if FLAGS:
        tl.store(flags + m // T * f_n + m % T * f_t, any_flag(channel_flags + m * C, C, 128).to(tl.int8), first_block)

    Wy = band(y_first, y_weights, j[None, :], y[:, None], H, Y_TAPS).to(SUM)
    Wx = band(x_first, x_weights, i[:, None], x[None, :], W, X_TAPS).to(SUM)
    for z in range(z_first_plane, tl.minimum(z_first_plane + PLANES, D)):
        Wz = band(z_first, z_weights, k, z, D, Z_TAPS).to(SUM)
        plane = tl.sum(Wz[:, None, None] * L, 0)
        rows = tl.dot(Wy, plane, input_precision="ieee", out_dtype=SUM)
        U = tl.dot(rows, Wx, input_precision="ieee", out_dtype=SUM)
        target = maps + ((m * D + z) * H + y[:, None]) * W + x[None, :]
        tl.store(target, U, (y < H)[:, None] & (x < W)[None, :])


@triton.jit
def upsample_axis_kernel(
    source, target, first, weights,  # (outer, cells, lines) → (outer, pixels, lines)
    taps, pixels, lines, s_outer, s_cell, s_line, t_outer, t_pixel, t_line,
    VECTOR: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_L: tl.constexpr,
):  # fmt: skip
    """A block of pixels along an axis, for a block of lines across it."""
    lines = whole(lines, VECTOR)
    line_blocks, blocks = tl.cdiv(lines, BLOCK_L), tl.cdiv(pixels, BLOCK_O)
    program = tl.program_id(0)
    # pixels first: programs that share cells run together
    begin, program = program % blocks * BLOCK_O, program // blocks
    line = program % line_blocks * BLOCK_L + tl.arange(0, BLOCK_L)
    outer = tl.cast(program // line_blocks, tl.int64)
    pixel = begin + tl.arange(0, BLOCK_O)
    in_line, in_pixel = line < lines, pixel < pixels

    first_cell = tl.load(first + pixel, in_pixel, 0)
    source += outer * whole(s_outer, VECTOR) + line * s_line
    total = tl.zeros((BLOCK_O, BLOCK_L), target.dtype.element_ty)
    last = tl.load(first + tl.minimum(begin + BLOCK_O, pixels) - 1) + taps
    for cell in range(tl.load(first + begin), last):
        tap = cell - first_cell
        w = tl.load(weights + tap * pixels + pixel, (tap >= 0) & (tap < taps) & in_pixel, 0.0)
        total += w[:, None] * tl.load(source + cell * whole(s_cell, VECTOR), in_line, 0.0).to(total.dtype)[None, :]
    target += outer * whole(t_outer, VECTOR) + pixel[:, None] * whole(t_pixel, VECTOR) + line[None, :] * t_line
    tl.store(target, total, in_pixel[:, None] & in_line[None, :])


_axis_kernel = Tuned(upsample_axis_kernel)


def gaussian_upsample(grid: Tensor, axes: Sequence[Axis], out: Tensor) -> None:
    """Fill out (M, *pixels) from a grid (M, *cells), both contiguous, with the bands of one to three axes."""
    if is_small(axes):
        upsample_small(grid[None], axes, out)
        return
    source = grid
    steps = [position for position in reversed(range(1, grid.ndim)) if axes[position - 1].taps]
    if not steps:
        out.copy_(grid)
    for position in steps:
        axis = axes[position - 1]
        shape = (*source.shape[:position], axis.pixels, *source.shape[position + 1 :])
        target = out if position == steps[-1] else torch.empty(shape, dtype=out.dtype, device=out.device)
        _upsample_axis(source, axis, position, target)
        source = target


def is_small(axes: Sequence[Axis]) -> bool:
    """Whether a grid goes through all its axes in one launch."""
    _, y, x = padded(axes)
    return max(y.cells, x.cells) <= _SMALL_PLANE and math.prod(_cells(axes)) <= _SMALL_GRID


def upsample_small(
    partials: Tensor,
    axes: Sequence[Axis],
    out: Tensor,
    *,
    relu: bool = False,
    grid: Tensor | None = None,
    channel_flags: Tensor | None = None,
    flags: Tensor | None = None,
) -> None:
    """Fill out (M, *pixels) from the sum of partials (splits, M, *cells), both contiguous.

    On the way, what is asked for: ``grid`` (M, *cells), contiguous, that sum, after its ReLU; ``flags`` (N, T), bytes:
    whether one of ``channel_flags`` (N, T, C) is set, which then has to be there.
    """
    z, y, x = padded(axes)
    cells_z, cells_y, cells_x = _cells(axes)
    block_y = min(power_of_two(max(y.pixels, 16)), 64)
    block_x = min(power_of_two(max(x.pixels, 16)), 64)
    splits, M = partials.shape[:2]
    channels = (1, 0) if channel_flags is None else channel_flags.shape[1:]
    flag_strides = (0, 0) if flags is None else strides(flags)
    blocks = cdiv(z.pixels, _PLANES) * cdiv(y.pixels, block_y) * cdiv(x.pixels, block_x)
    upsample_small_kernel[(M * blocks,)](
        partials, grid, out, channel_flags, flags,
        z.first, z.weights, y.first, y.weights, x.first, x.weights,
        splits, M, z.cells, y.cells, x.cells, z.pixels, y.pixels, x.pixels,
        *channels, *flag_strides,
        Z_TAPS=z.taps, Y_TAPS=y.taps, X_TAPS=x.taps, RELU=relu, STORE_GRID=grid is not None, FLAGS=flags is not None,
        PLANES=_PLANES, VECTOR=math.gcd(x.pixels, 4), CELLS_Z=cells_z, CELLS_Y=cells_y, CELLS_X=cells_x,
        BLOCK_Y=block_y, BLOCK_X=block_x, num_warps=8 if cells_z == 1 else 16,
    )  # fmt: skip


def _cells(axes: Sequence[Axis]) -> tuple[int, int, int]:
    """A grid's axes as tiles need them: powers of two, and 16 at least for what is multiplied as a matrix."""
    z, y, x = (power_of_two(axis.cells) for axis in padded(axes))
    return z, max(y, 16), max(x, 16)


def _upsample_axis(source: Tensor, axis: Axis, position: int, target: Tensor) -> None:
    """One axis, at a position of (M, *spatial): lines run along the axes behind it, or across where it is last."""
    lines = math.prod(source.shape[position + 1 :])
    if lines > 1:
        outer, across = math.prod(source.shape[:position]), False
        layout = (axis.cells * lines, lines, 1, axis.pixels * lines, lines, 1)
    else:
        outer, lines, across = 1, math.prod(source.shape[:position]), True
        layout = (0, 1, axis.cells, 0, 1, axis.pixels)
    width = 16 // target.element_size()
    _axis_kernel(
        (source.dtype, across, size_class(lines), size_class(axis.pixels), size_class(axis.taps)),
        _configs(lines, axis.pixels, across),
        lambda config: outer * cdiv(lines, config["BLOCK_L"]) * cdiv(axis.pixels, config["BLOCK_O"]),
        source, target, axis.first, axis.weights, axis.taps, axis.pixels, lines, *layout,
        VECTOR=1 if across else math.gcd(width, lines),
    )  # fmt: skip


def _configs(lines: int, pixels: int, across: bool) -> list[Config]:
    if across:
        shapes = [(128, 16, 4), (64, 32, 4)]
    else:
        shapes = [(8, 512, 4), (16, 256, 4), (16, 512, 8)]
    return [
        {
            "BLOCK_O": min(power_of_two(pixels), block_o),
            "BLOCK_L": min(power_of_two(lines), block_l),
            "num_warps": warps,
        }
        for block_o, block_l, warps in shapes
    ]
