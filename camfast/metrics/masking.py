"""From a map to what an image is multiplied by."""

import torch
from torch import Tensor


def absolute(maps: Tensor, scale: str) -> tuple[Tensor, Tensor]:
    """Masks (N, *S) from 0 to 1 of maps (N, *S), and which maps are constant and have none, bool (N,)."""
    low, high = (extreme.reshape(-1, *(1,) * (maps.ndim - 1)) for extreme in maps.flatten(1).aminmax(dim=1))
    constant = _constant(maps, scale)
    masks = (maps - low) / (high - low) if scale == "minmax" else maps.relu() / high
    return masks.masked_fill(constant.reshape(low.shape), 0), constant


def top_half(maps: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Masks (N, *S) of 0 and 1 with ⌊P/2⌋ pixels kept, ties broken by ``order`` (P,), and which maps have none."""
    flat = maps.flatten(1)
    constant = _constant(maps, "minmax")
    kept = order[flat[:, order].argsort(stable=True, dim=1, descending=True)[:, : flat.shape[1] // 2]]
    masks = torch.zeros_like(flat).scatter_(1, kept, 1).masked_fill(constant[:, None], 0)
    return masks.masked_fill(flat.isnan().any(1, keepdim=True), torch.nan).reshape(maps.shape), constant


def _constant(maps: Tensor, scale: str) -> Tensor:
    low, high = maps.flatten(1).aminmax(dim=1)
    return (low == high) | (high <= 0) if scale == "positive" else low == high
