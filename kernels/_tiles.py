"""What the kernels share: rectification, offsets that keep their alignment, and the shapes of tiles."""

import functools
import math

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def relu(x):
    """Negative numbers become 0; NaN stays NaN, which a maximum would lose."""
    return tl.where(x < 0, 0.0, x)


@triton.jit
def whole(number, VECTOR: tl.constexpr):
    """The number, in 64 bits, which the caller knows to be a multiple of VECTOR.

    Written so that the compiler knows it too: rows that begin at multiples of 16 bytes are read in 128-bit loads.
    """
    return tl.cast(number, tl.int64) // VECTOR * VECTOR


def cdiv(number: int, divisor: int) -> int:
    """The quotient, rounded up, without Triton's detour for constants of kernels."""
    return -(-number // divisor)


def power_of_two(number: int) -> int:
    """The smallest power of two that is not less than a positive number."""
    return 1 << (number - 1).bit_length()


def strides(tensor: Tensor) -> tuple[int, ...]:
    """Strides in elements; 0 for an axis of one index, whose stride says nothing."""
    return tuple([stride if size > 1 else 0 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)])


def position_strides(tensor: Tensor) -> tuple[int, ...]:
    """The strides of (..., P), where a single position counts as adjacent."""
    *lead, position = strides(tensor)
    return (*lead, position if tensor.shape[-1] > 1 else 1)


def vector(tensor: Tensor) -> int:
    """Elements, 16 bytes at most, that every row of (..., P) begins and ends at a multiple of; 1 for scattered rows."""
    *lead, position = position_strides(tensor)
    if position != 1:
        return 1
    return math.gcd(16 // tensor.element_size(), tensor.shape[-1], *lead)


def layout(tensor: Tensor) -> str:
    """Which axis of (..., C, P) is adjacent in memory: ``"positions"``, ``"channels"``, or none, ``"scattered"``."""
    channel, position = position_strides(tensor)[-2:]
    return "positions" if position == 1 else "channels" if channel == 1 else "scattered"


def tile(positions: int, elements: int, lanes: int) -> tuple[int, int]:
    """Channels and positions of a tile of so many elements: rows no longer than the grid, nor than the lanes."""
    row = min(power_of_two(max(positions, 1)), lanes)
    return max(elements // row, 1), row


@functools.cache
def processors(device: torch.device) -> int:
    """Multiprocessors of a GPU, which the number of programs is weighed against; 1 for a CPU under the interpreter."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
