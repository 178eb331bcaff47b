"""How alike two maps are: by rank, and by structure."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_WINDOW = 7
_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


class Similarity(NamedTuple):
    """How alike the maps of randomised networks and of the trained one are: 1 for the same map, about 0 for chance.

    Attributes
    ----------
    spearman : Tensor
        Rank correlation of the values, float64, (layers, seeds, N); NaN where a map is constant or not finite.
    spearman_absolute : Tensor
        Rank correlation of the absolute values, likewise: a map whose sign has flipped is still alike.
    ssim : Tensor
        Structural similarity of the maps scaled to 0…1, likewise; NaN too for maps of fewer than 3 pixels an axis.
    """

    spearman: Tensor
    spearman_absolute: Tensor
    ssim: Tensor

    @property
    def undefined(self) -> Tensor:
        """In how many of a layer's maps the rank correlation is NaN, (layers,)."""
        return self.spearman.isnan().flatten(1).sum(1)

    def mean(self) -> "Similarity":
        """Mean over seeds and samples, (layers,) each, without the NaN."""
        return Similarity(*(measure.flatten(1).nanmean(1) for measure in self))

    def spread(self) -> "Similarity":
        """Standard deviation over seeds of the mean over samples, (layers,) each, without the NaN."""
        return Similarity(*map(_spread, self))


def _spread(measure: Tensor) -> Tensor:
    by_seed = measure.nanmean(2)
    count = (~by_seed.isnan()).sum(1)
    squares = (by_seed - by_seed.nanmean(1, keepdim=True)).square().nansum(1)
    return (squares / (count - 1).clamp(min=0)).sqrt()  # 0/0 for a single seed


def spearman(a: Tensor, b: Tensor) -> Tensor:
    """Spearman's rank correlation, ties at their mean rank, of each pair of maps (N, *S): (N,), float64."""
    x, y = (ranks - ranks.mean(1, keepdim=True) for ranks in (_mean_ranks(a), _mean_ranks(b)))
    correlation = (x * y).sum(1) / (x.square().sum(1) * y.square().sum(1)).sqrt()
    defined = (a.isfinite() & b.isfinite()).flatten(1).all(1)
    return correlation.masked_fill(~defined, torch.nan)


def _mean_ranks(maps: Tensor) -> Tensor:
    values = maps.flatten(1).contiguous()
    ordered = values.sort(1).values
    below, up_to = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (below + up_to).double() / 2


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity of each pair of maps (N, *S), each scaled to 0…1: (N,), float64.

    SSIM = (2μ_aμ_b + C₁)(2σ_ab + C₂) / ((μ_a² + μ_b² + C₁)(σ_a² + σ_b² + C₂)) over windows of 7 pixels an axis (the
    largest odd number that fits), inside the map only; C₁ = 0.01², C₂ = 0.03², covariances with n − 1. The same as
    `skimage.metrics.structural_similarity`.

    References
    ----------
    Wang et al., Image quality assessment: from error visibility to structural similarity, IEEE TIP 2004.
    """
    spatial = a.shape[1:]
    window = min(_WINDOW, *spatial)
    window -= 1 - window % 2
    if window < 3:
        return torch.full((len(a),), torch.nan, dtype=torch.float64, device=a.device)
    x, y = _scaled(a), _scaled(b)
    n = window ** len(spatial)

    def local(values: Tensor) -> Tensor:
        mean: Tensor = _POOL[len(spatial)](values[:, None], window, stride=1)
        return mean[:, 0]

    mean_x, mean_y = local(x), local(y)
    var_x, var_y, cov = (
        (local(p * q) - mean_p * mean_q) * n / (n - 1)
        for (p, mean_p), (q, mean_q) in (((x, mean_x),) * 2, ((y, mean_y),) * 2, ((x, mean_x), (y, mean_y)))
    )
    c1, c2 = 0.01**2, 0.03**2
    parts = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    whole = (mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2)
    similarity: Tensor = (parts / whole).flatten(1).mean(1)
    return similarity


def _scaled(maps: Tensor) -> Tensor:
    """Each map from 0 to 1; a constant one becomes NaN."""
    maps = maps.double()
    low, high = (extreme.reshape(-1, *(1,) * (maps.ndim - 1)) for extreme in maps.flatten(1).aminmax(dim=1))
    return (maps - low) / (high - low)


def compare(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rank correlation, that of absolute values, and structural similarity of maps (N, *S): (N,) each."""
    return spearman(a, b), spearman(a.abs(), b.abs()), ssim(a, b)


def table(layers: tuple[str, ...], modes: dict[str, Similarity]) -> str:
    """Mean ± spread over seeds for each layer, as text."""
    names = [layer or "(the model's own)" for layer in layers]
    width = max(len("layer"), *map(len, names))
    lines = []
    for name, found in modes.items():
        mean, spread = found.mean(), found.spread()
        lines += ["", name, f"{'layer':<{width}}  {'Spearman':>14}  {'Spearman |L|':>14}  {'SSIM':>14}  undefined"]
        for row, layer in enumerate(names):
            cells = (f"{float(m[row]):6.3f} ± {float(s[row]):5.3f}" for m, s in zip(mean, spread, strict=True))
            lines.append(f"{layer:<{width}}  {'  '.join(f'{cell:>14}' for cell in cells)}  {int(found.undefined[row])}")
    return "\n".join(lines[1:])
