"""Who runs an op, inputs on its device in every memory layout, and how near the float64 reference it must come."""

from dataclasses import dataclass

import torch
from torch import Tensor

import camfast
from tests.ops import cases

DTYPES = cases.DTYPES
LAYOUTS = (*cases.LAYOUTS, "misaligned", "negated")

# |found − expected| relative to what the op gives for the absolute values, which bounds the rounding of sums whatever
# cancels in them: a few dozen float32 roundings in a row, and the Gaussians' truncation at 3e-7 of the maximum. Inputs
# of 16 bits are exact in float32. In float64 the reference itself adds in another order.
ALLOWED = {torch.float32: 4e-6, torch.bfloat16: 4e-6, torch.float16: 4e-6, torch.float64: 1e-12}


@dataclass(frozen=True)
class Runner:
    """A backend and the device of its tensors."""

    backend: str
    device: str

    def __str__(self) -> str:
        return self.backend

    def why_not(self) -> str | None:
        """Why it can't run here, or None where it can."""
        if self.device == "cuda" and not torch.cuda.is_available():
            return "no CUDA device"
        status = camfast.backends("fused_cam", self.device)[self.backend]
        return None if status == "ok" else status

    def activations(self, shape: tuple[int, ...], dtype: torch.dtype, layout: str = "contiguous") -> Tensor:
        """As behind a ReLU, so that nothing cancels in their sums."""
        return self.place(cases.activations(shape, dtype), layout)

    def gradients(
        self, shape: tuple[int, ...], dtype: torch.dtype, layout: str = "contiguous", *, targets: int | None = None
    ) -> Tensor:
        """Gradients of both signs, with an axis of targets in front where there are some."""
        if targets is None:
            return self.place(cases.gradients(shape, dtype), layout)
        return self.place(cases.gradients((targets, *shape), dtype), layout, 2)

    def place(self, values: Tensor, layout: str = "contiguous", channel: int = 1) -> Tensor:
        """The values on the device, in a layout of `LAYOUTS`."""
        values = values.to(self.device)
        if layout == "misaligned":
            room = values.new_empty(values.numel() + 1)[1:].view(values.shape)
            return room.copy_(values)
        if layout == "negated":
            return torch._neg_view(-values)
        return cases.laid_out(values, layout, channel)

    def poisoned(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An output whose every element shows if a kernel forgets it."""
        return cases.poisoned(shape, dtype).to(self.device)


def check(found: Tensor, expected: Tensor, magnitude: Tensor, dtype: torch.dtype) -> None:
    """Compare with the reference; the magnitude is the reference on absolute values."""
    assert found.shape == expected.shape
    assert not found.isnan().any(), "an element was left out, or NaN"
    assert expected.dtype == torch.float64, "the reference is for float64"
    worst = ((found.double() - expected).abs() - ALLOWED[dtype] * magnitude).max() if found.numel() else -1
    assert worst <= 0, f"off by {float(worst):.1e} more than allowed"
