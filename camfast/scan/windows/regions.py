"""Regions of segmentations in windows: where a window has none of it, its map is 0."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camfast.ops.forms import map_dtype
from camfast.regions import Region


@dataclass(frozen=True)
class RegionSums:
    """A function of the output that adds up the scores of regions, 0 where a sample has no position of it.

    Parameters
    ----------
    regions
        What is explained.
    many
        Whether there is an axis of targets.
    """

    regions: tuple[Region, ...]
    many: bool

    def __call__(self, scores: Tensor) -> Tensor:
        """Sum scores (N, C, *S) to (N, T), or (N,) for a single region."""
        sums = [self._sum(region, scores) for region in self.regions]
        return torch.stack(sums, 1) if self.many else sums[0]

    @staticmethod
    def _sum(region: Region, scores: Tensor) -> Tensor:
        if scores.ndim < 3 or not 0 <= region.class_index < scores.shape[1]:
            return region.total(scores)  # which says what is wrong
        inside = scores[:, region.class_index].masked_fill(~region.mask(scores), 0).flatten(1)
        return inside.sum(1, dtype=map_dtype(scores.dtype))


def of_windows(target: Any) -> Any:
    """A target as windows are explained by it: regions may be empty in some of them."""
    if isinstance(target, Region):
        return RegionSums((target,), many=False)
    if isinstance(target, Sequence) and target and all(isinstance(one, Region) for one in target):
        return RegionSums(tuple(target), many=True)
    return target
