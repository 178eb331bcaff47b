"""Tensors as the compiled backends take them: codes, sizes, strides and addresses as integers."""

import math
from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

from camfast.ops.forms import BLENDS, FORMS, GAINS, IMAGE_DTYPES, INDEX_DTYPES, RECTIFY

_Number = TypeVar("_Number", int, float)

DTYPE_CODES = {dtype: code for code, dtype in enumerate((*IMAGE_DTYPES, *INDEX_DTYPES))}  # the floats come first
BLEND_CODES = {name: code for code, name in enumerate(BLENDS)}
RECTIFY_CODES = {name: code for code, name in enumerate(RECTIFY)}
GAIN_CODES = {name: code for code, name in enumerate(GAINS)}
_WEIGHTED = [name for name, form in FORMS.items() if form.weighted]
# the weighted methods first, in their order, then the products by their rectification
METHOD_CODES = {
    name: _WEIGHTED.index(name) if form.rectify is None else len(_WEIGHTED) + RECTIFY_CODES[form.rectify]
    for name, form in FORMS.items()
}


def by_position(activations: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """A as (N, C, P) and G as (T, N, C, P): views where the spatial axes collapse into one stride, else copies."""
    A, G = activations.resolve_neg().flatten(2), gradients.resolve_neg()
    return A, G.flatten(3) if gradients.ndim > activations.ndim else G.flatten(2).unsqueeze(0)


def lead(activations: Tensor, gradients: Tensor) -> tuple[int, ...]:
    """Leading axes of the result: (N, T) where the gradients have an axis of targets, else (N,)."""
    samples = activations.shape[0]
    return (samples, gradients.shape[0]) if gradients.ndim > activations.ndim else (samples,)


def pair(A: Tensor, G: Tensor) -> tuple[int, ...]:
    """Dtype, sizes, addresses and strides of what `by_position` gives."""
    return (DTYPE_CODES[A.dtype], *G.shape, A.data_ptr(), *A.stride(), G.data_ptr(), *G.stride())


def lead_strides(out: Tensor | None, rank: int) -> tuple[int, int]:
    """Strides of samples and targets of (N, *rank axes) or (N, T, *rank axes); zeros where there is no output."""
    if out is None:
        return 0, 0
    return out.stride(0), out.stride(1) if out.ndim == rank + 2 else 0


def by_sample(tensor: Tensor) -> Tensor:
    """(N, *S) as (N, P) with adjacent positions: a view where it can be, else a copy."""
    rows = tensor.resolve_neg().reshape(tensor.shape[0], math.prod(tensor.shape[1:]))
    return rows if rows.stride(1) == 1 or rows.shape[1] <= 1 else rows.contiguous()


def pad(values: Sequence[_Number], filler: _Number) -> tuple[_Number, ...]:
    """Three values, one an axis, the missing leading axes filled."""
    return (filler,) * (3 - len(values)) + tuple(values)
