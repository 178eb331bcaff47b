"""Maps whose channels are split among programs: how many splits, and their sum, L[n, t, p] = Σ_s L_s[n, t, p]."""

import functools
from collections.abc import Hashable

import torch
import triton
import triton.language as tl
from torch import Tensor

from camfast.kernels._tiles import cdiv, layout, power_of_two, processors, relu, strides, tile
from camfast.kernels._tuning import Config, size_class

_FEWEST_CHANNELS = 16  # of a split: a partial map then costs a small part of the reading


@triton.jit
def any_flag(flags, C, BLOCK: tl.constexpr):
    """The largest of C bytes: whether a flag is set for any channel."""
    c = tl.arange(0, BLOCK)
    found = tl.zeros((BLOCK,), tl.int32)
    for k in range(0, C, BLOCK):
        found |= tl.load(flags + k + c, k + c < C, 0).to(tl.int32)
    return tl.max(found, 0)


@triton.jit
def sum_partials_kernel(
    partials, maps, channel_flags, flags,  # (splits, N, T, P), L (N, T, P), bytes (N, T, C), bytes (N, T)
    splits, T, P, C, p_s, p_n, p_t, l_n, l_t, f_n, f_t,
    RELU: tl.constexpr, FLAGS: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    """A block of positions, over the splits; the first block of a map sees to its flag."""
    blocks = tl.cdiv(P, BLOCK_P)
    block, m = tl.program_id(0) % blocks, tl.cast(tl.program_id(0) // blocks, tl.int64)
    n, t = m // T, m % T
    p = tl.cast(block, tl.int64) * BLOCK_P + tl.arange(0, BLOCK_P)
    total = tl.zeros((BLOCK_P,), maps.dtype.element_ty)
    for split in range(splits):
        total += tl.load(partials + split * tl.cast(p_s, tl.int64) + n * p_n + t * p_t + p, p < P, 0.0)
    if RELU:
        total = relu(total)
    tl.store(maps + n * l_n + t * l_t + p, total, p < P)
    if FLAGS:
        tl.store(flags + n * f_n + t * f_t, any_flag(channel_flags + m * C, C, 128).to(tl.int8), block == 0)


def sum_partials(
    partials: Tensor, relu: bool, out: Tensor, channel_flags: Tensor | None = None, flags: Tensor | None = None
) -> None:
    """Fill out (N, T, P) with the sum of (splits, N, T, P) in the order of the splits.

    With them, ``flags`` (N, T), bytes: whether one of ``channel_flags`` (N, T, C) is set.
    """
    N, T, P = out.shape
    block = min(power_of_two(P), 256)
    channels = 0 if channel_flags is None else channel_flags.shape[-1]
    flag_strides = (0, 0) if flags is None else strides(flags)
    sum_partials_kernel[(N * T * cdiv(P, block),)](
        partials, out, channel_flags, flags, len(partials), T, P, channels,
        *strides(partials)[:3], *strides(out)[:2], *flag_strides, RELU=relu, FLAGS=flags is not None, BLOCK_P=block,
    )  # fmt: skip


def workspace(out: Tensor, splits: int) -> Tensor:
    """Partial maps for an output (N, T, P)."""
    return torch.empty((splits, *out.shape), dtype=out.dtype, device=out.device)


def channel_splits(A: Tensor, targets: int) -> tuple[int, int]:
    """How many splits occupy the GPU, where the positions alone don't, and the channels of each."""
    N, C, P = A.shape
    programs = N * targets * cdiv(P, map_configs(A)[0]["BLOCK_P"])
    splits = max(min(2 * processors(A.device) // programs, C // _FEWEST_CHANNELS), 1)
    channels = cdiv(C, splits)
    return cdiv(C, channels), channels


def map_configs(*operands: Tensor) -> list[Config]:
    """Tiles for a walk over the channels of (..., C, P): long rows, or where channels are adjacent deep columns."""
    deep = all(layout(operand) == "channels" for operand in operands)
    return _map_configs(operands[0].shape[-1], 16 // operands[0].element_size(), deep)


@functools.cache
def _map_configs(positions: int, width: int, deep: bool) -> list[Config]:
    if deep:
        shapes = [(128, 16, 4), (64, 32, 4)]
    else:
        choices = ((4, 4), (8, 4), (4, 8))  # rows, each a vector a thread, and warps
        shapes = [(*tile(positions, rows * warps * 32 * width, warps * 32 * width), warps) for rows, warps in choices]
    return [{"BLOCK_C": channels, "BLOCK_P": row, "num_warps": warps} for channels, row, warps in dict.fromkeys(shapes)]


def map_shape(*operands: Tensor) -> tuple[Hashable, ...]:
    """What the choice among `map_configs` is remembered for."""
    N, C, P = operands[0].shape
    return (operands[0].dtype, *map(layout, operands), size_class(N), size_class(C), size_class(P))
