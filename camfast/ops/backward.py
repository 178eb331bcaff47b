"""The derivative of every op, as formulas of torch's and our own ops: differentiable again, to any order.

`DERIVATIVES` holds for each op what `torch.autograd.Function` asks for: ``save`` takes the op's arguments and its
result, ``gradients`` the derivatives with respect to the results, and returns those with respect to the tensors.

A, G, w, L and U are activations, gradients, channel weights, grid and maps; dX is the derivative of what is optimised
with respect to X. Sums run over what an index on the right doesn't have on the left.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from camfast.ops.forms import FORMS

# The transpose of an upsampling by Gaussians takes pixels for cells: what was divided by its sum over the cells of a
# pixel is then divided by its sum over the pixels of a cell.
_TRANSPOSED = {"spray": "spray", "average": "mass", "mass": "average"}

Found = tuple[Tensor | None, ...]


class _ChannelWeights:
    """See `_channel_weights`."""

    @staticmethod
    def save(ctx: Any, activations: Tensor, gradients: Tensor, method: str, weights: Tensor) -> None:
        ctx.save_for_backward(activations, gradients, weights)
        ctx.method = method

    @staticmethod
    def gradients(ctx: Any, dw: Tensor) -> Found:
        A, G, w = ctx.saved_tensors
        return _channel_weights(A, G, ctx.method, w, dw)


class _WeightedSum:
    """See `_weighted_sum`."""

    @staticmethod
    def save(ctx: Any, activations: Tensor, weights: Tensor, relu: bool, grid: Tensor) -> None:
        ctx.save_for_backward(activations, weights, grid if relu else None)

    @staticmethod
    def gradients(ctx: Any, dL: Tensor) -> Found:
        A, w, L = ctx.saved_tensors
        return _weighted_sum(A, w, _before_relu(dL, L), ctx.backend)


class _ProductSum:
    """See `_product_sum`."""

    @staticmethod
    def save(ctx: Any, activations: Tensor, gradients: Tensor, rectify: str, relu: bool, grid: Tensor) -> None:
        ctx.save_for_backward(activations, gradients, grid if relu else None)
        ctx.rectify = rectify

    @staticmethod
    def gradients(ctx: Any, dL: Tensor) -> Found:
        A, G, L = ctx.saved_tensors
        return _product_sum(A, G, ctx.rectify, _before_relu(dL, L))


class _LinearUpsample:
    """See `_linear_upsample`."""

    @staticmethod
    def save(ctx: Any, grid: Tensor, size: Sequence[int], maps: Tensor) -> None:  # noqa: ARG004
        ctx.cells, ctx.dtype = grid.shape[-len(size) :], grid.dtype

    @staticmethod
    def gradients(ctx: Any, dU: Tensor) -> Found:
        return (_linear_upsample(dU, ctx.cells).to(ctx.dtype),)


class _GaussianUpsample:
    """See `_gaussian_upsample`."""

    @staticmethod
    def save(
        ctx: Any,
        grid: Tensor,
        size: Sequence[int],
        sigma: Sequence[float],
        gain: str,
        starts: Sequence[float],
        steps: Sequence[float],
        maps: Tensor,  # noqa: ARG004
    ) -> None:
        ctx.cells, ctx.dtype = grid.shape[-len(size) :], grid.dtype
        ctx.gaussian = sigma, gain, starts, steps

    @staticmethod
    def gradients(ctx: Any, dU: Tensor) -> Found:
        sigma, gain, starts, steps = ctx.gaussian
        return (_gaussian_upsample(dU, ctx.cells, sigma, gain, starts, steps, ctx.backend).to(ctx.dtype),)


class _FusedCam:
    """Those of the single ops, one after the other."""

    @staticmethod
    def save(
        ctx: Any,
        activations: Tensor,
        gradients: Tensor,
        method: str,
        relu: bool,
        size: Sequence[int] | None,
        sigma: Sequence[float] | None,
        gain: str,
        starts: Sequence[float],
        steps: Sequence[float],
        results: tuple[Tensor, Tensor, Tensor, Tensor],
    ) -> None:
        grid, _, weights, _ = results
        ctx.save_for_backward(
            activations, gradients, grid if relu else None, weights if FORMS[method].weighted else None
        )
        ctx.options = method, size, sigma, gain, starts, steps
        ctx.set_materialize_grads(False)

    @staticmethod
    def gradients(ctx: Any, dL: Tensor | None, dU: Tensor | None, dw: Tensor | None, _: Tensor | None) -> Found:
        A, G, L, w = ctx.saved_tensors
        method, size, sigma, gain, starts, steps = ctx.options
        if size is not None and dU is not None:
            cells = A.shape[2:]
            if sigma is None:
                below = _linear_upsample(dU, cells)
            else:
                below = _gaussian_upsample(dU, cells, sigma, gain, starts, steps, ctx.backend)
            dL = _sum(dL, below)
        dA: Tensor | None = None
        if dL is not None:
            dL = _before_relu(dL, L)
            if w is None:
                return _product_sum(A, G, FORMS[method].rectify, dL)
            dA, below = _weighted_sum(A, w, dL, ctx.backend)
            dw = _sum(dw, below)
        if dw is None:
            return None, None
        through_weights, dG = _channel_weights(A, G, method, w, dw)
        return _sum(dA, through_weights), dG


def _channel_weights(A: Tensor, G: Tensor, method: str, w: Tensor, dw: Tensor) -> tuple[Tensor | None, Tensor]:
    """Derivatives of the four weights, with S_k = Σ A_k, r = 1 / (2 + S_k·G) where G > 0, else 0.

    ::

        gradcam            dG = dw / Z                       dA = 0
        gradcam++          dG = 2 r² dw                      dA = −Σ (G·r)² dw
        xgradcam, respond  dG = A·dw / (S_k + ε)             dA = Σ_t (G − w)·dw / (S_k + ε)
    """
    spatial = tuple(range(2, A.ndim))
    positions = max(math.prod(A.shape[2:]), 1)
    dw = _by_channel(dw, G)
    if method == "gradcam":
        return None, (dw / positions).to(G.dtype).expand(G.shape)
    S = A.sum(spatial, keepdim=True, dtype=dw.dtype)
    if method == "gradcam++":
        r = torch.where(G > 0, 1 / (2 + S * G), 0)
        dS = -((G * r) ** 2 * dw).sum(tuple(axis + G.ndim - A.ndim for axis in spatial), keepdim=True)
        dA = (dS.sum(0) if G.ndim > A.ndim else dS).to(A.dtype).expand(A.shape)
        return dA, (2 * r**2 * dw).to(G.dtype)
    u = dw / (S + (1e-7 if method == "xgradcam" else positions * 1e-10))
    return _over_targets(lambda u, G, w: u * (G - w), A, u, G, _by_channel(w, G)), (u * A).to(G.dtype)


def _weighted_sum(A: Tensor, w: Tensor, dL: Tensor, backend: str | None) -> tuple[Tensor, Tensor]:
    """DA = Σ_t w_t,k dL_t and dw_t,k = Σ_p A_k dL_t: the op itself, with positions for channels."""
    dA = torch.einsum("nk,n...->nk..." if w.ndim == 2 else "ntk,nt...->nk...", w, dL)
    positions = A.flatten(2).transpose(1, 2)
    dw = torch.ops.camfast.weighted_sum(positions, dL.flatten(w.ndim - 1), False, backend=backend)
    return dA.to(A.dtype), dw


def _product_sum(A: Tensor, G: Tensor, rectify: str | None, dL: Tensor) -> tuple[Tensor, Tensor]:
    """DA = Σ_t G_t ⊙ dL_t and dG_t = A ⊙ dL_t, both 0 where the rectification has cut the term off."""
    dL = dL.transpose(0, 1).unsqueeze(2) if G.ndim > A.ndim else dL.unsqueeze(1)

    def passed(derivative: Tensor, G: Tensor) -> Tensor:
        if rectify == "none":
            return derivative
        return derivative.masked_fill((G if rectify == "gradients" else G * A) <= 0, 0)

    dA = _over_targets(lambda dL, G: passed(dL * G, G), A, dL, G)
    return dA, passed(dL * A, G).to(G.dtype)


def _linear_upsample(dU: Tensor, cells: Sequence[int]) -> Tensor:
    """DL = Wᵀ dU along each axis, W[x, i] = max(0, 1 − |x' − i|) for pixels x at x' cells: two to a row."""
    rank = len(cells)
    for count in cells:  # each product moves the next axis to the place of the one that it sums
        pixels = dU.shape[dU.ndim - rank]
        x = (torch.arange(pixels, dtype=torch.float64, device=dU.device) + 0.5) * (count / pixels) - 0.5
        i = torch.arange(count, dtype=torch.float64, device=dU.device)
        hats = (1 - (x.clamp(0, count - 1)[:, None] - i).abs()).clamp(min=0)
        dU = torch.tensordot(dU, hats.to(dU.dtype), dims=([dU.ndim - rank], [0]))
    return dU


def _gaussian_upsample(
    dU: Tensor,
    cells: Sequence[int],
    sigma: Sequence[float],
    gain: str,
    starts: Sequence[float],
    steps: Sequence[float],
    backend: str | None,
) -> Tensor:
    """dL_i = Σ_x dU_x · exp(−(x − c_i)² / 2σ²): the op itself, pixels being the cells of a grid of their own.

    (x − start − i·step) / σ = (x/step − start/step − i) / (σ/step).
    """
    dL: Tensor = torch.ops.camfast.gaussian_upsample(
        dU,
        list(cells),
        [value / step for value, step in zip(sigma, steps, strict=True)],
        _TRANSPOSED[gain],
        [-start / step for start, step in zip(starts, steps, strict=True)],
        [1 / step for step in steps],
        backend=backend,
    )
    return dL


def _before_relu(dL: Tensor, L: Tensor | None) -> Tensor:
    return dL if L is None else dL.masked_fill(L <= 0, 0)


def _by_channel(values: Tensor, G: Tensor) -> Tensor:
    """(N, C) as (N, C, 1, ...), or (N, T, C) as (T, N, C, 1, ...): as gradients have their axes."""
    if values.ndim == 3:
        values = values.transpose(0, 1)
    return values[(..., *(None,) * (G.ndim - values.ndim))]


def _over_targets(term: Callable[..., Tensor], A: Tensor, *values: Tensor) -> Tensor:
    """Σ_t of a term, shaped as the activations; one target after the other, as A is the smallest of what is summed."""
    if values[-1].ndim == A.ndim:
        return term(*values).to(A.dtype)
    total = values[0].new_zeros(A.shape)
    for parts in zip(*values, strict=True):
        total = total + term(*parts)
    return total.to(A.dtype)


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return second if first is None else first if second is None else first + second


DERIVATIVES: dict[str, Any] = {
    "channel_weights": _ChannelWeights,
    "weighted_sum": _WeightedSum,
    "product_sum": _ProductSum,
    "fused_cam": _FusedCam,
    "linear_upsample": _LinearUpsample,
    "gaussian_upsample": _GaussianUpsample,
}
