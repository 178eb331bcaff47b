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
    """Masks (N, *S) of 0 and 1 with ⌊P/2⌋ pixels kept, and which maps are constant and have none, bool (N,)."""
    constant = _constant(maps, "minmax")
    kept = ranks(maps, order) < maps[0].numel() // 2
    masks = kept.to(maps.dtype).masked_fill(constant[:, None], 0)
    return masks.masked_fill(has_nan(maps)[:, None], torch.nan).reshape(maps.shape), constant


def tie_order(pixels: int, seed: int, device: torch.device) -> Tensor:
    """The order (P,) in which pixels of the same value are taken: drawn once, the same for every map and device."""
    return torch.randperm(pixels, generator=torch.Generator().manual_seed(seed)).to(device)


def ranks(maps: Tensor, order: Tensor) -> Tensor:
    """Place (N, P), from 0, of each pixel when they are taken from the largest down, ties by ``order`` (P,)."""
    flat = maps.flatten(1)
    largest_first = order[flat[:, order].argsort(stable=True, dim=1, descending=True)]
    places = torch.arange(flat.shape[1], device=flat.device).expand_as(largest_first)
    return torch.empty_like(largest_first).scatter_(1, largest_first, places)


def has_nan(maps: Tensor) -> Tensor:
    """Which maps (N, *S) can't be ranked, bool (N,)."""
    return maps.flatten(1).isnan().any(1)


def _constant(maps: Tensor, scale: str) -> Tensor:
    low, high = maps.flatten(1).aminmax(dim=1)
    return (low == high) | (high <= 0) if scale == "positive" else low == high
