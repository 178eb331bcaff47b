"""Maps along the first singular vector of a layer's activations, for a whole batch at once."""

import torch
from torch import Tensor

from camfast.ops.forms import map_dtype

# A correlation of this part of what it could be is rounding: products of float64 numbers, added up.
_NO_CORRELATION = 1e-13


def first_component(features: Tensor, *, centre: bool = False) -> tuple[Tensor, Tensor]:
    """Project a layer's features on the direction in which they are largest.

    With M the Z×K matrix of a sample and v its first right singular vector::

        L = M·v

    v comes from the smaller of the Gram matrices MᵀM and MMᵀ, in float64. Its sign makes L correlate positively with
    Σ_k M_k; where the correlation is 0, the value of largest magnitude is positive.

    Parameters
    ----------
    features
        The transposes of M, (N, K, Z), or (N, T, K, Z) for T targets; float64, float32, bfloat16 or float16.
    centre
        Subtract each channel's mean first.

    Returns
    -------
    Tensor, Tensor
        L, (N, [T,] Z), and v, (N, [T,] K); float32 (float64 for float64). Both are NaN in a sample that isn't finite,
        and 0 in one that is 0 everywhere. Differentiable once where the largest singular value is simple.

    References
    ----------
    Muhammad and Yeasin 2020 (Eigen-CAM).

    Examples
    --------
    >>> from camfast.components import first_component
    >>> L, v = first_component(torch.tensor([[[3.0, 0.0, 3.0], [4.0, 0.0, 4.0]]]))
    >>> L, v
    (tensor([[5., 0., 5.]]), tensor([[0.6000, 0.8000]]))
    """
    largest = features.detach().abs().amax((-2, -1), keepdim=True).double()
    finite = largest.isfinite()
    # scaled, as the squares of a Gram matrix may leave the range of float64
    M = features.double() / torch.where(finite & (largest > 0), largest, 1)
    if centre:
        M = M - M.mean(-1, keepdim=True)
    v = _direction(M, finite)
    L = torch.einsum("...kz,...k->...z", M, v)
    sign = _sign(L.detach(), M.detach())
    L = torch.where(finite[..., 0], L * sign * largest[..., 0], torch.nan)
    v = torch.where(finite[..., 0], v * sign, torch.nan)
    dtype = map_dtype(features.dtype)
    return L.to(dtype), v.to(dtype)


def _direction(M: Tensor, finite: Tensor) -> Tensor:
    """The first right singular vector of the transposes of M (..., K, Z); 0 where M is 0."""
    channels, positions = M.shape[-2:]
    if torch.is_grad_enabled() and M.requires_grad:
        return _differentiable_direction(M, finite)
    # eigh refuses what isn't finite
    if channels <= positions:
        v = torch.linalg.eigh(torch.where(finite, M @ M.mT, 0)).eigenvectors[..., -1]
        along = torch.einsum("...kz,...k->...z", M, v)
    else:
        along = torch.linalg.eigh(torch.where(finite, M.mT @ M, 0)).eigenvectors[..., -1]
    v = torch.einsum("...kz,...z->...k", M, along)  # exactly 0 in a channel that is
    length = v.norm(dim=-1, keepdim=True)
    return torch.where(length > 0, v / length, 0)


def _differentiable_direction(M: Tensor, finite: Tensor) -> Tensor:
    """The vector as v + (λ − C)⁺ C v with C = MMᵀ, where (λ − C)⁺v = 0 and the derivative is (λ − C)⁺ dC v.

    torch's own derivative of eigh divides by the differences of all pairs of eigenvalues, of which the small ones
    often agree.
    """
    C = torch.where(finite, M @ M.mT, 0)
    values, vectors = torch.linalg.eigh(C.detach())
    v: Tensor = vectors[..., -1] * values[..., -1:].ne(0)
    gaps = values[..., -1:] - values
    inverse = torch.where(gaps > 0, 1 / gaps, 0)
    Cv = torch.einsum("...kl,...l->...k", C, v)
    step: Tensor = torch.einsum("...lj,...j,...kj,...k->...l", vectors, inverse, vectors, Cv)
    return v + step - step.detach()


def _sign(L: Tensor, M: Tensor) -> Tensor:
    """The sign, (..., 1), that L is multiplied by."""
    total = M.sum(-2)
    covariance = ((L - L.mean(-1, keepdim=True)) * total).sum(-1, keepdim=True)
    # of what is added up: behind a LayerNorm the sums themselves are rounding
    scale = L.norm(dim=-1, keepdim=True) * M.abs().sum(-2).norm(dim=-1, keepdim=True)
    at_largest = L.gather(-1, L.abs().argmax(-1, keepdim=True))
    return torch.where(torch.where(covariance.abs() > _NO_CORRELATION * scale, covariance, at_largest) < 0, -1.0, 1.0)
