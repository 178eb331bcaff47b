"""What a region's score loses with the voxels that a map names, against voxels drawn at random."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from camfast import baselines, ops
from camfast.checks import check_count, check_inputs, check_maps, check_sizes
from camfast.metrics import masking
from camfast.progress import Bar
from camfast.recorder import Extract
from camfast.scoring import Scorer, derived_seed
from camfast.targets import Target


@dataclass(frozen=True)
class RegionDrop:
    """Scores with all voxels, without those of the map, and without random ones.

    Attributes
    ----------
    full : Tensor
        The region's score for the unchanged input, (N,), float64.
    by_map : Tensor
        The score with the map's largest voxels replaced, (N,), or (N, M) for M maps a sample; NaN where a map has NaN.
    random : Tensor
        The score with as many voxels replaced at random, (N, draws).
    voxels : int
        How many were replaced.
    share : float
        Part of the voxels that was asked for.
    baseline : str
        What replaced them.
    """

    full: Tensor
    by_map: Tensor
    random: Tensor
    voxels: int
    share: float
    baseline: str

    @property
    def drop(self) -> Tensor:
        """Full score minus that without the map's voxels, (N,) or (N, M)."""
        return self._like_maps(self.full) - self.by_map

    @property
    def random_drop(self) -> Tensor:
        """Full score minus that without random voxels, mean over the draws, (N,); NaN without draws."""
        return self.full - self.random.mean(1)

    @property
    def relative(self) -> Tensor:
        """100 · drop / abs(full score), in %, (N,) or (N, M)."""
        return 100 * self.drop / self._like_maps(self.full.abs())

    @property
    def random_relative(self) -> Tensor:
        """100 · random drop / abs(full score), in %, (N,)."""
        return 100 * self.random_drop / self.full.abs()

    def _like_maps(self, values: Tensor) -> Tensor:
        return values if self.by_map.ndim == 1 else values[:, None]

    def __str__(self) -> str:
        drops = " / ".join(f"{float(drop):.2f}" for drop in self.relative.reshape(len(self.full), -1).mean(0))
        return (
            f"the score drops by {drops} % without the map's {self.voxels} largest voxels "
            f"({100 * self.share:g} %), by {float(self.random_relative.mean()):.2f} % without as many at random "
            f"({self.random.shape[1]} draws, {len(self.full)} samples, baseline {self.baseline})"
        )


def region_drop(
    model: nn.Module,
    inputs: Tensor,
    region: Target,
    maps: Tensor,
    *,
    share: float = 0.1,
    baseline: Literal["zero", "mean", "blur"] | float | Tensor = "mean",
    draws: int = 10,
    cells: int | Sequence[int] | None = None,
    output: Extract | None = None,
    batch: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> RegionDrop:
    """Replace the voxels where a map is largest, and see what the region's score loses.

    y(x) − y(x'), with x' = baseline at the round(share · P) voxels where the map is largest (at least one), in all
    channels, and x elsewhere; the same for voxels drawn at random, without regard to the map.

    Parameters
    ----------
    model
        Left as it was.
    inputs
        (N, C, *S).
    region
        A `camfast.Region`: its positions are those of the unchanged input's output, whatever the changed ones predict.
        Any other target of one scalar a sample does as well.
    maps
        At the inputs' size, (N, *S), such as of ``target=region``; or (N, M, *S), of M methods to compare.
    share
        Part of the voxels that is replaced, above 0 and up to 1.
    baseline
        ``"mean"``, of each sample and channel; ``"blur"``, the sample under a Gaussian of σ = ⅛ of each axis;
        ``"zero"``; a number; or a tensor that can be broadcast to the inputs.
    draws
        How often random voxels are drawn.
    cells
        Of a layer's grid, one number or one a spatial axis: random voxels are the largest of noise on such a grid,
        upsampled linearly, and lie as close together as those of a map of that layer. None: each voxel for itself.
    output
        Finds the scores in what the model returns.
    batch
        Inputs that go through the model at once.
    seed
        Of the random voxels, and of the order of voxels with the same value.
    progress
        Show a progress bar (needs tqdm, which the extra ``scan`` brings).

    Returns
    -------
    RegionDrop
        One score a sample, for paired intervals.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit or the region is empty; the message names it.

    Notes
    -----
    Single random voxels lie scattered, a map's lie together, and scattered voxels can harm a network more than a hole
    does, as noise does: a map may then lose to chance. ``cells`` takes that difference away.

    Examples
    --------
    >>> model = torch.nn.Conv2d(1, 2, 3, padding=1)
    >>> image, region = torch.rand(1, 1, 8, 8), camfast.Region(1, "image")
    >>> found = camfast.metrics.region_drop(model, image, region, torch.rand(1, 8, 8), share=0.25)
    >>> found.voxels, found.random.shape
    (16, torch.Size([1, 10]))
    """
    inputs = check_inputs(inputs)
    maps = check_maps(maps, inputs, several=True)
    if not 0 < share <= 1:
        raise ValueError(f"share must be a part of the voxels, above 0 and up to 1, found {share}")
    draws = check_count("draws", draws, least=0)
    scorer = Scorer(model, output, batch, region)
    spatial = inputs.shape[2:]
    pixels = math.prod(spatial)
    grid = None if cells is None else check_sizes("cells", cells, len(spatial))
    voxels = max(1, round(share * pixels))
    replacement = baselines.baseline(inputs, baseline)
    fixed = scorer.fix(inputs, single=True)
    flat = maps.reshape(-1, *spatial)
    order = masking.tie_order(pixels, seed, maps.device)
    several = len(flat) // len(inputs)
    kinds = several + draws

    def make(numbers: Tensor) -> Tensor:
        changed = []
        for number in numbers.tolist():
            sample, kind = divmod(number, kinds)
            if kind < several:
                heat = flat[sample * several + kind]
            else:
                heat = _noise(spatial, grid, derived_seed(seed, sample, kind - several)).to(inputs.device)
            taken = masking.ranks(heat[None], order) < voxels
            changed.append(torch.where(taken.reshape(1, *spatial), replacement[sample], inputs[sample]))
        return torch.stack(changed)

    rows = torch.arange(len(inputs), device=inputs.device).repeat_interleave(kinds)
    with Bar(len(rows), "region drop", shown=progress) as bar:
        values = scorer.values(make, rows, fixed, bar).double().reshape(len(inputs), kinds)
    by_map = values[:, :several].masked_fill(masking.has_nan(flat).reshape(len(inputs), several), torch.nan)
    return RegionDrop(
        fixed.reference[:, 0].double(),
        by_map.reshape(maps.shape[: maps.ndim - len(spatial)]),
        values[:, several:],
        voxels,
        float(share),
        baselines.describe(baseline),
    )


def _noise(size: Sequence[int], cells: Sequence[int] | None, seed: int) -> Tensor:
    """A map of no meaning, (*S), drawn alike for every device."""
    generator = torch.Generator().manual_seed(seed)
    if cells is None:
        return torch.rand(*size, generator=generator)
    return ops.linear_upsample(torch.rand(1, *cells, generator=generator), size)[0]
