"""How much of a map lies where something is known to be."""

from typing import NamedTuple

import torch
from torch import Tensor


class ShareInside(NamedTuple):
    """The share of a map inside a mask, and what an even map would have there.

    Attributes
    ----------
    share : Tensor
        From 0 to 1, (N,), float64; NaN for an empty map.
    chance : Tensor
        Part of the positions that the mask holds, (N,), float64.
    """

    share: Tensor
    chance: Tensor


def share_inside(maps: Tensor, mask: Tensor, *, absolute: bool = True) -> ShareInside:
    """Measure the share of a map that lies inside a mask: Σ_{p ∈ M} abs(L[p]) / Σ_p abs(L[p]).

    It describes where a map lies, not whether it is right: a network may well decide by what lies outside.

    Parameters
    ----------
    maps
        (N, *S).
    mask
        M, bool, (*S) or (N, *S).
    absolute
        Take absolute values; False: the positive part, relu(L), in place of abs(L).

    Returns
    -------
    ShareInside
        ``share`` and ``chance``, (N,) each: by chance alone a map has the share of the mask's volume.

    Raises
    ------
    TypeError, ValueError
        If the mask isn't bool, or doesn't fit the maps.

    References
    ----------
    Zhang et al., Top-down neural attention by excitation backprop, ECCV 2016, count where the maximum lies (the
    pointing game); the share has no ties and uses the whole map.

    Examples
    --------
    >>> heat, bead = torch.tensor([[3.0, -1.0, 0.0, 0.0]]), torch.tensor([True, False, False, False])
    >>> found = camfast.metrics.share_inside(heat, bead)
    >>> found.share.item(), found.chance.item()
    (0.75, 0.25)
    """
    if not isinstance(maps, Tensor) or maps.ndim < 2:
        raise ValueError(f"maps must be a tensor (N, *S), found {getattr(maps, 'shape', type(maps).__name__)}")
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        found = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask must be a bool tensor, found {found}")
    if tuple(mask.shape) not in (tuple(maps.shape), tuple(maps.shape[1:])):
        raise ValueError(
            f"mask must be {tuple(maps.shape[1:])} or {tuple(maps.shape)}, like the maps, found {tuple(mask.shape)}"
        )
    mask = mask.to(maps.device).expand_as(maps)
    values = maps.detach().double()
    values = values.abs() if absolute else values.relu()
    # a NaN outside of the mask has to show as well: it stands in the denominator
    inside = values.where(mask, 0.0).flatten(1).sum(1)
    return ShareInside(inside / values.flatten(1).sum(1), mask.double().flatten(1).mean(1))
