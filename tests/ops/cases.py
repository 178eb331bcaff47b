"""Inputs for the tests of the ops, and how close a kernel must come to the float64 reference on the same inputs."""

import math
import random
import zlib

import torch
from torch import Tensor

SIZES = (1, 2, 7, 63, 64, 257)
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
LAYOUTS = ("contiguous", "channels_last", "sliced", "transposed", "expanded")

# ‖out − reference‖ / ‖reference‖ on the same rounded inputs: sums end in float64, so what is left is the rounding of
# float32 products over short runs, and of the result; float64 sums of a million terms are off by their own rounding.
TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 1e-6, torch.float16: 1e-6, torch.float64: 1e-12}


def activations(
    shape: tuple[int, ...], dtype: torch.dtype, layout: str = "contiguous", *, signed: bool = False
) -> Tensor:
    """Activations as behind a ReLU (a third of them 0), or signed as before one."""
    values = torch.randn(shape, dtype=torch.float64)
    return laid_out((values if signed else values.add_(0.4).relu_()).to(dtype), layout)


def gradients(
    shape: tuple[int, ...], dtype: torch.dtype, layout: str = "contiguous", *, targets: bool = False
) -> Tensor:
    """Gradients of both signs, small as a network's; the shape starts with the targets where there are some."""
    return laid_out(torch.randn(shape, dtype=torch.float64).mul_(0.1).to(dtype), layout, 2 if targets else 1)


def random_shapes(seed: int, count: int, elements: int) -> list[tuple[int, ...]]:
    """Shapes (N, C, *S) of hostile sizes, one to three spatial axes, with at most so many elements."""
    draw = random.Random(seed)
    shapes: list[tuple[int, ...]] = []
    while len(shapes) < count:
        shape = tuple(draw.choice(SIZES) for _ in range(draw.randint(3, 5)))
        if math.prod(shape) <= elements:
            shapes.append(shape)
    return shapes


def laid_out(values: Tensor, layout: str, channel: int = 1) -> Tensor:
    """The same values in another memory layout (``"expanded"`` repeats those of the first position)."""
    if layout == "channels_last":
        return values.movedim(channel, -1).contiguous().movedim(-1, channel)
    if layout == "sliced":
        filler = math.nan if values.is_floating_point() else 99
        room = values.new_full([2 * extent + 1 for extent in values.shape], filler)
        window = room[tuple(slice(1, None, 2) for _ in values.shape)]
        return window.copy_(values)
    if layout == "transposed":
        return values.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "expanded":
        return values[..., :1].expand(values.shape)
    return values


def poisoned(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An output whose every element shows if a kernel forgets it."""
    return torch.full(shape, math.nan, dtype=dtype)


def relative_error(found: Tensor, reference: Tensor) -> float:
    """‖found − reference‖ / ‖reference‖, over everything."""
    assert found.shape == reference.shape
    assert not found.isnan().any()
    reference = reference.double()
    norm = reference.norm()
    return float((found.double() - reference).norm() / (norm if norm > 0 else 1))


def conditioning(A: Tensor, G: Tensor, method: str) -> float:
    """Condition number of the sums behind the weights, Σ|terms| / |Σ terms|: the worst over samples and channels."""
    A, G = A.double().flatten(2), G.double().flatten(2)

    def worst(terms: Tensor) -> float:
        total, magnitude = terms.sum(-1).abs(), terms.abs().sum(-1)
        alive = magnitude > 0
        return float((magnitude[alive] / total[alive]).max()) if alive.any() else 1.0

    if method == "gradcam":
        return worst(G)
    if method == "gradcam++":
        S = A.sum(-1, keepdim=True)
        alpha = torch.where(G > 0, 1 / (2 + S * G), 0)
        pole = torch.where(G > 0, (2 + (S * G).abs()) / (2 + S * G).abs(), 1)
        return worst(alpha * G) * float(pole.max()) * worst(A)
    return worst(G * A) * worst(A)


def seed(*of: object) -> int:
    """A seed that depends on a test's parameters, the same in every run."""
    return zlib.crc32(repr(of).encode())
