"""Every op as its formula, in plain torch: the specification that each backend is tested against.

Naive on purpose, differentiable, and correct in float64. Activations A are (N, C, *S); gradients G are (N, C, *S), or
(T, N, C, *S) for T targets; grids and maps are (N, *S) or (N, T, *S).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from camfast.ops.forms import FORMS, Blend, FusedCam, Gain, Rectify, RunningMax, map_dtype, split_centres

_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def channel_weights(activations: Tensor, gradients: Tensor, method: str) -> Tensor:
    """The weights w_k of a weighted method; (N, C) or (N, T, C)."""
    A, G = _by_target(activations, gradients)
    Z = A.shape[-1]
    S = A.sum(-1)
    if method == "gradcam":
        weights = G.sum(-1) / max(Z, 1)
    elif method == "gradcam++":
        alpha = torch.where(G > 0, 1 / (2 + S[..., None] * G), 0)
        weights = (alpha * G).sum(-1)
    elif method == "xgradcam":
        weights = (G * A).sum(-1) / (S + 1e-7)
    else:
        weights = (G * A).sum(-1) / (S + max(Z, 1) * 1e-10)
    return weights if _has_targets(activations, gradients) else weights[:, 0]


def ill_conditioned(activations: Tensor, gradients: Tensor, method: str) -> Tensor:
    """Flag the maps whose weights divide by a small difference of large numbers; (N,) or (N, T) bool."""
    A, G = _by_target(activations, gradients)
    S, magnitude = A.sum(-1), A.abs().sum(-1)
    flags = ((S.abs() < 1e-4 * magnitude) & (magnitude > 0)).any(-1).expand(G.shape[:2])
    if method == "gradcam":
        flags = torch.zeros_like(flags)
    if method == "gradcam++":
        at_pole = (G > 0) & (2 + S[..., None] * G < 2e-4)
        flags = flags | at_pole.flatten(2).any(-1)
    return flags if _has_targets(activations, gradients) else flags[:, 0]


def weighted_sum(activations: Tensor, weights: Tensor, relu: bool = False) -> Tensor:
    """L = Σ_k w_k A_k; weights (N, C) or (N, T, C) give (N, *S) or (N, T, *S)."""
    A = activations.to(weights.dtype)
    grid = torch.einsum("nc...,nc->n..." if weights.ndim == 2 else "nc...,ntc->nt...", A, weights)
    return grid.relu() if relu else grid


def product_sum(activations: Tensor, gradients: Tensor, rectify: Rectify = "none", relu: bool = False) -> Tensor:
    """L = Σ_k G_k ⊙ A_k, the gradients or the products rectified first; (N, *S) or (N, T, *S)."""
    A, G = _by_target(activations, gradients)
    if rectify == "gradients":
        G = G.relu()
    product = G * A
    if rectify == "product":
        product = product.relu()
    grid = product.sum(2)
    grid = grid.reshape(*grid.shape[:2], *activations.shape[2:])
    if relu:
        grid = grid.relu()
    return grid if _has_targets(activations, gradients) else grid[:, 0]


def linear_upsample(grid: Tensor, size: Sequence[int]) -> Tensor:
    """Half-pixel centres, edges clamped: ``interpolate(align_corners=False)`` over the last axes."""
    rank = len(size)
    grid = grid.to(map_dtype(grid.dtype))
    if 0 in grid.shape:  # interpolate refuses them
        return grid.sum() + grid.new_zeros((*grid.shape[:-rank], *size))
    maps = F.interpolate(grid.reshape(1, -1, *grid.shape[-rank:]), tuple(size), mode=_MODES[rank], align_corners=False)
    return maps.reshape(*grid.shape[:-rank], *size)


def gaussian_upsample(
    grid: Tensor,
    size: Sequence[int],
    sigma: Sequence[float],
    gain: Gain,
    starts: Sequence[float],
    steps: Sequence[float],
) -> Tensor:
    """U(x) = Σ_i L_i · Π_axes exp(−(x − c_i)² / 2σ²) with c_i = start + i·step, no term left out."""
    rank = len(size)
    maps = grid.to(map_dtype(grid.dtype))
    for axis, cells in enumerate(grid.shape[-rank:]):
        x = torch.arange(size[axis], dtype=torch.float64, device=grid.device)
        c = starts[axis] + steps[axis] * torch.arange(cells, dtype=torch.float64, device=grid.device)
        exponent = -((x[:, None] - c) ** 2) / (2 * sigma[axis] ** 2)
        if gain == "spray":
            taps = exponent.exp()
        else:  # exp divided by its sum, finite also where every term of the sum underflows
            taps = exponent.softmax(1 if gain == "average" else 0)
        maps = torch.tensordot(maps, taps.to(maps.dtype), dims=([grid.ndim - rank], [1]))
    return maps


def fused_cam(
    activations: Tensor,
    gradients: Tensor,
    method: str,
    relu: bool,
    size: Sequence[int] | None,
    sigma: Sequence[float] | None,
    gain: Gain,
    starts: Sequence[float],
    steps: Sequence[float],
) -> FusedCam:
    """The map of a method and what goes with it, upsampled where a size is given, by Gaussians where sigma is."""
    rectify = FORMS[method].rectify
    weights = flags = None
    if rectify is None:
        weights = channel_weights(activations, gradients, method)
        flags = ill_conditioned(activations, gradients, method)
        grid = weighted_sum(activations, weights, relu)
    else:
        grid = product_sum(activations, gradients, rectify, relu)
    if size is None:
        maps = grid
    elif sigma is None:
        maps = linear_upsample(grid, size)
    else:
        maps = gaussian_upsample(grid, size, sigma, gain, starts, steps)
    return FusedCam(grid, maps, weights, flags)


def running_max(values: Tensor, index: Tensor, candidate: Tensor, unit: int | Tensor) -> RunningMax:
    """The candidate and its unit where it is greater, or NaN first; else what there was."""
    candidate = candidate.to(values.dtype)
    greater = (candidate > values) | (candidate.isnan() & ~values.isnan())
    unit = torch.as_tensor(unit, device=index.device).to(torch.int32)
    unit = unit.view(-1, *[1] * (index.ndim - 1))
    return RunningMax(torch.where(greater, candidate, values), torch.where(greater, unit, index))


def window_sum(total: Tensor, maps: Tensor, origins: Tensor, taper: Tensor, blend: Blend) -> Tensor:
    """One window after the other, each added to its cells or compared with them."""
    total = total.clone()
    places = origins.tolist()
    for number, origin in enumerate(places):
        for axis, (first, grid, size) in enumerate(zip(origin, total.shape[1:], taper.shape, strict=True)):
            if not 0 <= first <= grid - size:
                raise ValueError(
                    f"origins: window {number} starts at cell {first} of axis {axis}, and must lie wholly inside the "
                    f"grid: it may start at cells 0 to {grid - size}"
                )
    for window, origin in zip(maps.to(torch.float64), places, strict=True):
        cells = total[(slice(None), *(slice(o, o + n) for o, n in zip(origin, taper.shape, strict=True)))]
        if blend == "mean":
            cells += taper * window
        else:
            larger = (window > cells) | (window.isnan() & ~cells.isnan())
            cells.copy_(torch.where(larger, window, cells))
    return total


def overlay(
    image: Tensor,
    heat: Tensor,
    table: Tensor,
    low: float | Tensor,
    high: float | Tensor,
    alpha: float,
    sigma: Sequence[float] | None,
    black: float,
    white: float,
    threshold: float = 0.0,
) -> Tensor:
    """The blend v + (colour − v)·alpha: v the image in 0 … 255, colour = table[255·t], t the heat from low to high.

    It is v where t < threshold.
    """
    size = image.shape[1:3]
    if sigma is None:
        u = linear_upsample(heat, size)
    else:
        u = gaussian_upsample(heat, size, sigma, "average", *split_centres(None, heat.shape[1:], size))
    low, high = (torch.as_tensor(level, dtype=u.dtype, device=u.device) for level in (low, high))
    t = torch.where(low == high, 0, ((u - low) / (high - low)).clamp(0, 1))
    colour = table[(255 * t).round().nan_to_num().long()].to(u.dtype)
    level = ((image.to(u.dtype) - black) / (white - black)).nan_to_num(0).clamp(0, 1)
    v = 255 * (level if image.ndim == 4 else level[..., None])
    opacity = torch.where(t < threshold, 0.0, alpha).to(u.dtype)[..., None]
    result = (v + (colour - v) * opacity).round().to(torch.uint8)
    magenta = torch.tensor([255, 0, 255], dtype=torch.uint8, device=u.device)
    return torch.where((t.isnan() | u.isnan())[..., None], magenta, result)


def _has_targets(activations: Tensor, gradients: Tensor) -> bool:
    return gradients.ndim > activations.ndim


def _by_target(activations: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """A as (N, 1, C, P) and G as (N, T, C, P), in the dtype of maps."""
    dtype = map_dtype(activations.dtype)
    A = activations.to(dtype).flatten(2).unsqueeze(1)
    G = gradients.to(dtype)
    if _has_targets(activations, gradients):
        return A, G.flatten(3).transpose(0, 1)
    return A, G.flatten(2).unsqueeze(1)
