"""What stands in for the parts of an input that are taken away."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from camfast import ops

BLUR = 8  # σ of "blur" along an axis is the axis divided by this


def baseline(inputs: Tensor, kind: Any) -> Tensor:
    """What replaces pixels of the inputs, at their size.

    Parameters
    ----------
    inputs
        (N, C, *S).
    kind
        ``"zero"``; ``"mean"``: each sample's mean in each channel; ``"blur"``: the sample under a Gaussian of σ = ⅛ of
        each axis; a number; or a tensor that can be broadcast to (N, C, *S).

    Returns
    -------
    Tensor
        (N, C, *S), of the inputs' dtype; perhaps a view.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if isinstance(kind, str):
        if kind == "zero":
            return torch.zeros_like(inputs)
        if kind == "mean":
            means = inputs.flatten(2).mean(2, dtype=torch.promote_types(inputs.dtype, torch.float32))
            return means.to(inputs.dtype).reshape(*means.shape, *(1,) * (inputs.ndim - 2)).expand_as(inputs)
        if kind == "blur":
            return blurred(inputs, [extent / BLUR for extent in inputs.shape[2:]])
    elif not isinstance(kind, bool) and isinstance(kind, Tensor | Real):  # numbers of numpy are Real too
        given = torch.as_tensor(
            kind if isinstance(kind, Tensor) else float(kind), dtype=inputs.dtype, device=inputs.device
        )
        try:
            return given.expand_as(inputs)
        except RuntimeError:
            raise ValueError(
                f"a baseline tensor must broadcast to the inputs {tuple(inputs.shape)}, found {tuple(given.shape)}"
            ) from None
    raise ValueError(f"baseline must be 'zero', 'mean', 'blur', a number or a tensor, found {kind!r}")


def blurred(inputs: Tensor, sigma: float | Sequence[float]) -> Tensor:
    """Smooth by a Gaussian whose weights sum to 1 at the border too: constant inputs stay as they are."""
    size = inputs.shape[2:]
    smooth = ops.gaussian_upsample(inputs.flatten(0, 1).contiguous(), size, sigma, gain="average")
    return smooth.reshape(inputs.shape).to(inputs.dtype)


def describe(kind: Any) -> str:
    """A baseline in words, for results that say how they were come by."""
    return f"a tensor {tuple(kind.shape)}" if isinstance(kind, Tensor) else str(kind)
