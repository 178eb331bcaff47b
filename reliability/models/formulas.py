"""The methods' formulas, a sample, a target and a channel at a time, in float64, with the size of what is added up."""

from dataclasses import dataclass
from itertools import product
from math import exp, prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

GRADIENT_METHODS = (
    "gradcam", "gradcam++", "xgradcam", "respond", "hirescam", "elementwise", "layercam", "extended", "eigengradcam",
)  # fmt: skip
RECTIFIED = {"gradcam", "gradcam++", "xgradcam", "hirescam", "layercam"}
WEIGHTED = {"gradcam", "gradcam++", "xgradcam", "respond"}
DIVIDING = {"gradcam++", "xgradcam", "respond"}
_MODES = ("linear", "bilinear", "trilinear")
# Where the two largest singular values are this near, the first vector isn't determined.
_GAP = 1e-3
_ILL = 1e-4
_POLE = 2e-4


@dataclass(frozen=True)
class Expected:
    """A map of several targets.

    Attributes
    ----------
    grid
        L (N, T, *S), before any ReLU.
    size
        (N, T): the largest sum of magnitudes of a cell, which rounding is measured by.
    weights
        (N, T, C), or None.
    parts
        (N, T, C): the size of what each weight is made of.
    ill
        (N, T): whether the weights divide by a small difference; 1 yes, 0 no, −1 too near to say.
    known
        (N, T): whether there is one right answer.
    """

    grid: Tensor
    size: Tensor
    weights: Tensor | None
    parts: Tensor | None
    ill: Tensor
    known: Tensor


def expected(A: Tensor, G: Tensor, method: str, *, centre: bool = False) -> Expected:
    """The map of activations (N, C, *S) and gradients (T, N, C, *S)."""
    A, G = A.detach().double(), G.detach().double()
    rows = [[_map(a, g[n], method, centre) for g in G] for n, a in enumerate(A)]
    grid, size, ill, known = (
        torch.stack([torch.stack([one[part] for one in row]) for row in rows]) for part in range(4)
    )
    if rows[0][0][4] is None:
        return Expected(grid, size, None, None, ill, known)
    weights, parts = (torch.stack([torch.stack([one[part] for one in row]) for row in rows]) for part in (4, 5))
    return Expected(grid, size, weights, parts, ill, known)


def _map(A: Tensor, G: Tensor, method: str, centre: bool) -> tuple[Any, ...]:
    no, yes = torch.tensor(0), torch.tensor(True)
    if method in ("eigencam", "eigengradcam"):
        L, v, known = component(A if method == "eigencam" else G * A, centre=centre)
        return L, L.abs().max(), no, known, v, torch.ones_like(v)
    L = torch.zeros_like(A[0])
    magnitude = torch.zeros_like(A[0])
    weights, sizes, ill = [], [], 0
    for a, g in zip(A, G, strict=True):
        if method in ("hirescam", "extended"):
            L = L + g * a
        elif method == "elementwise":
            L = L + torch.clamp(g * a, min=0)
        elif method == "layercam":
            L = L + torch.clamp(g, min=0) * a
        else:
            w, of, flag = _weight(a, g, method)
            weights.append(w)
            sizes.append(of)
            ill = 1 if 1 in (ill, flag) else min(ill, flag)
            L = L + w * a
            magnitude = magnitude + of * a.abs()
            continue
        magnitude = magnitude + (g * a).abs()
    found = (torch.stack(weights), torch.stack(sizes)) if weights else (None, None)
    return L, magnitude.max(), torch.tensor(ill), yes, *found


def _weight(a: Tensor, g: Tensor, method: str) -> tuple[Tensor, Tensor, int]:
    """The weight, the size of what it is made of, and whether it divides by a small difference."""
    Z = a.numel()
    if method == "gradcam":
        return g.sum() / Z, g.abs().sum() / Z, 0
    S, total = a.sum(), a.abs().sum()
    ill = _flag(S.abs(), _ILL * total) if total > 0 else 0
    lost = float(total / S.abs()) if S != 0 else 0.0  # by how much rounding of S is larger than S's own
    if method == "gradcam++":
        positive = g[g > 0]
        bottom = 2 + S * positive
        near = (bottom - _POLE).abs() <= 1e-2 * _POLE
        pole = -1 if bool(near.any()) else int(bool((bottom < _POLE).any()))
        parts = positive / bottom
        of = parts.abs() * (1 + (2 + total * positive) / bottom.abs())
        return parts.sum(), of.sum(), 1 if 1 in (ill, pole) else min(ill, pole)
    bottom = S + (1e-7 if method == "xgradcam" else Z * 1e-10)
    return (g * a).sum() / bottom, (g * a).abs().sum() / bottom.abs() * (1 + lost), ill


def _flag(value: Tensor, limit: Tensor | float) -> int:
    away = float(value) - float(limit)
    if abs(away) <= 1e-2 * abs(float(limit)):
        return -1
    return int(away < 0)


def component(features: Tensor, *, centre: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """M·v of features (K, *S) for the first right singular vector v, v, and whether it is the only one."""
    M = features.flatten(1).T
    if centre:
        M = M - M.mean(0)
    _, values, Vh = torch.linalg.svd(M, full_matrices=False)
    v = Vh[0] if values[0] > 0 else torch.zeros_like(Vh[0])
    L, total = M @ v, M.sum(1)
    spread = ((L - L.mean()) * total).sum()
    limit = 1e-13 * L.norm() * M.abs().sum(1).norm()
    clear = bool(spread.abs() > 10 * limit) or bool(spread.abs() < 0.1 * limit)
    sign = spread if spread.abs() > limit else L[L.abs().argmax()]
    if sign < 0:
        L, v = -L, -v
    alone = len(values) == 1 or bool(values[0] - values[1] > _GAP * values[0]) or bool(values[0] == 0)
    return L.reshape(features.shape[1:]), v, torch.tensor(alone and clear)


def linear(grid: Tensor, size: tuple[int, ...]) -> Tensor:
    """Linear upsampling of (N, T, *S)."""
    return F.interpolate(grid.double(), size, mode=_MODES[len(size) - 1], align_corners=False)


def gaussian(grid: Tensor, size: tuple[int, ...], sigma: float, gain: str) -> Tensor:
    """Each cell of (N, T, *S) sprays a Gaussian on the pixels, one cell after the other."""
    shape = grid.shape[2:]
    sprays = torch.zeros(*shape, *size, dtype=torch.float64)
    for cell in product(*map(range, shape)):
        spray = torch.ones((), dtype=torch.float64)
        for axis, at in enumerate(cell):
            step = size[axis] / shape[axis]
            centre = (at + 0.5) * step - 0.5
            row = [exp(-((x - centre) ** 2) / (2 * sigma**2)) for x in range(size[axis])]
            spray = spray[..., None] * torch.tensor(row, dtype=torch.float64)
        sprays[cell] = spray
    flat = sprays.reshape(prod(shape), -1)
    if gain == "average":
        flat = flat / flat.sum(0, keepdim=True)
    elif gain == "mass":
        flat = flat / flat.sum(1, keepdim=True)
    return (grid.double().flatten(2) @ flat).reshape(*grid.shape[:2], *size)


def differentiable(A: Tensor, G: Tensor, method: str) -> Tensor:
    """L (N, T, *S) of some methods in one line each, to be differentiated again."""
    products = G * A  # (T, N, C, *S)
    if method == "hirescam":
        return products.sum(2).transpose(0, 1)
    if method == "layercam":
        return (torch.clamp(G, min=0) * A).sum(2).transpose(0, 1)
    axes = tuple(range(2, A.ndim))
    if method == "gradcam":
        w = G.flatten(3).mean(3)
    else:
        assert method == "respond"
        w = products.flatten(3).sum(3) / (A.sum(axes) + A[0, 0].numel() * 1e-10)
    return torch.einsum("tnc,nc...->nt...", w, A)
