"""How well the sums of maps stand for the scores that they explain."""

from typing import NamedTuple

import torch
from torch import Tensor

_PAIRS_AT_ONCE = 2**23  # of classes, whatever the number of samples: bounds memory to tens of megabytes


class SumToScore(NamedTuple):
    """How far the sums of maps are from the scores, and whether they come in the same order.

    Attributes
    ----------
    l1 : Tensor
        Mean over classes of the distance between sum and score, (N,), float64.
    tau : Tensor
        Kendall's τ-b between the sums and the scores, (N,), float64; NaN where all sums or all scores are tied, or
        one is NaN.
    """

    l1: Tensor
    tau: Tensor

    @property
    def undefined(self) -> int:
        """How many samples have no τ, because all sums or all scores are tied or one is NaN."""
        return int(self.tau.isnan().sum())


def sum_to_score(grid: Tensor, scores: Tensor) -> SumToScore:
    """Compare the sum of each class's map with the class's score.

    L1[n] = (1/C) Σ_c |Σ_p L[n,c,p] − y[n,c]|, and Kendall's τ-b between the C sums and the C scores,
    τ = (P − Q) / √((P + Q + T_sums)(P + Q + T_scores)) with P concordant and Q discordant pairs of classes and T the
    pairs that are tied in the other ranking alone.

    Parameters
    ----------
    grid
        Maps of all classes before upsampling, (N, C, *S): ``Explainer(...)(inputs, "all").grid``.
    scores
        The model's output before softmax, (N, C).

    Returns
    -------
    SumToScore
        ``l1`` and ``tau``, (N,) each, float64, on the device of the maps; ``undefined`` counts the τ that are NaN.

    Raises
    ------
    TypeError, ValueError
        If the two don't hold one map and one score for each class.

    References
    ----------
    Zhao et al., Respond-CAM, MICCAI 2018, section 3. Equal to `scipy.stats.kendalltau`.

    Examples
    --------
    >>> grid = torch.tensor([[[1.0, 1.0], [0.0, 1.0], [3.0, 0.0]]])
    >>> l1, tau = camfast.metrics.sum_to_score(grid, torch.tensor([[2.0, 1.0, 6.0]]))
    >>> l1.item(), tau.item()
    (1.0, 1.0)
    """
    if not isinstance(grid, Tensor) or not isinstance(scores, Tensor):
        raise TypeError(f"grid and scores must be tensors, found {type(grid).__name__} and {type(scores).__name__}")
    if scores.ndim != 2 or grid.ndim < 3 or grid.shape[:2] != scores.shape:
        raise ValueError(
            f"grid must be (N, C, *S), a map for each class, and scores (N, C); found {tuple(grid.shape)} and "
            f"{tuple(scores.shape)}: explain target='all'"
        )
    sums = grid.detach().flatten(2).sum(2, dtype=torch.float64)
    scores = scores.detach().to(sums)
    step = max(1, _PAIRS_AT_ONCE // max(1, scores.shape[1]) ** 2)
    tau = [_tau(a, b) for a, b in zip(torch.split(sums, step), torch.split(scores, step), strict=True)]
    return SumToScore((sums - scores).abs().mean(1), torch.cat(tau) if tau else sums.new_empty(0))


def _tau(a: Tensor, b: Tensor) -> Tensor:
    """Kendall's τ-b of each row, from all pairs of columns."""
    order_a, order_b = _order(a), _order(b)
    agreement = (order_a * order_b).sum((1, 2), dtype=torch.float64)
    # a product of the two lengths would lose a digit where a root of each doesn't: τ of equal rankings is 1
    untied_a, untied_b = (order.abs().sum((1, 2), dtype=torch.float64) for order in (order_a, order_b))
    tau = agreement / untied_a.sqrt() / untied_b.sqrt()
    return tau.clamp(-1, 1).masked_fill((a.isnan() | b.isnan()).any(1), torch.nan)


def _order(values: Tensor) -> Tensor:
    """−1, 0 or 1 for each pair of columns, int8 (N, C, C)."""
    left, right = values[:, :, None], values[:, None, :]
    return (left > right).to(torch.int8) - (left < right).to(torch.int8)
