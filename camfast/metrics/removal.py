"""What a region's score loses with the voxels that a map names, against voxels drawn at random."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from camfast import baselines
from camfast.metrics import masking
from camfast.recorder import Extract
from camfast.scoring import Bar, Scorer, check_inputs, check_maps, derived_seed
from camfast.targets import Target


@dataclass(frozen=True)
class RegionDrop:
    """Scores with all voxels, without those of the map, and without random ones.

    Attributes
    ----------
    full : Tensor
        The region's score for the unchanged input, (N,), float64.
    by_map : Tensor
        The score with the map's largest voxels replaced, (N,); NaN where the map has NaN.
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
        """Full score minus that without the map's voxels, (N,)."""
        return self.full - self.by_map

    @property
    def random_drop(self) -> Tensor:
        """Full score minus that without random voxels, mean over the draws, (N,); NaN without draws."""
        return self.full - self.random.mean(1)

    @property
    def relative(self) -> Tensor:
        """100 · drop / abs(full score), in %, (N,)."""
        return 100 * self.drop / self.full.abs()

    @property
    def random_relative(self) -> Tensor:
        """100 · random drop / abs(full score), in %, (N,)."""
        return 100 * self.random_drop / self.full.abs()

    def __str__(self) -> str:
        return (
            f"the score drops by {float(self.relative.mean()):.2f} % without the map's {self.voxels} largest voxels "
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
    output: Extract | None = None,
    batch: int = 1,
    seed: int = 0,
    progress: bool = False,
) -> RegionDrop:
    """Replace the voxels where a map is largest, and see what the region's score loses.

    y(x) − y(x'), with x' = baseline at the round(share · P) voxels where the map is largest (at least one), in all
    channels, and x elsewhere; the same for voxels drawn at random, without replacement and without regard to the map.

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
        One map a sample at the inputs' size, (N, *S), such as of ``target=region``.
    share
        Part of the voxels that is replaced, above 0 and up to 1.
    baseline
        ``"mean"``, of each sample and channel; ``"blur"``, the sample under a Gaussian of σ = ⅛ of its shortest axis;
        ``"zero"``; a number; or a tensor that can be broadcast to the inputs.
    draws
        How often random voxels are drawn; 0 where an earlier result with the same seed has them.
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
    Random voxels lie scattered, a map's lie together: where scattered voxels harm a network more than a hole does, as
    noise does to many, the map can lose to chance. Report both numbers.

    Examples
    --------
    >>> model = torch.nn.Conv2d(1, 2, 3, padding=1)
    >>> image, region = torch.rand(1, 1, 8, 8), camfast.Region(1, "image")
    >>> found = camfast.metrics.region_drop(model, image, region, torch.rand(1, 8, 8), share=0.25)
    >>> found.voxels, found.random.shape
    (16, torch.Size([1, 10]))
    """
    inputs = check_inputs(inputs)
    maps = check_maps(maps, inputs)
    if not 0 < share <= 1:
        raise ValueError(f"share must be a part of the voxels, above 0 and up to 1, found {share}")
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 0:
        raise ValueError(f"draws must be a whole number of at least 0, found {draws!r}")
    scorer = Scorer(model, output, batch, region)
    pixels, spatial = maps[0].numel(), inputs.shape[2:]
    voxels = max(1, round(share * pixels))
    replacement = baselines.baseline(inputs, baseline)
    fixed = scorer.fix(inputs, single=True)
    places = masking.ranks(maps, masking.tie_order(pixels, seed, maps.device))
    kinds = draws + 1  # the map's voxels, and each draw

    def make(numbers: Tensor) -> Tensor:
        changed = []
        for number in numbers.tolist():
            sample, draw = divmod(number, kinds)
            if draw == 0:
                taken = places[sample] < voxels
            else:
                drawn = masking.tie_order(pixels, derived_seed(seed, sample, draw), inputs.device)
                taken = torch.zeros(pixels, dtype=torch.bool, device=inputs.device)
                taken[drawn[:voxels]] = True
            changed.append(torch.where(taken.reshape(1, *spatial), replacement[sample], inputs[sample]))
        return torch.stack(changed)

    rows = torch.arange(len(inputs), device=inputs.device)
    repeated = rows.repeat_interleave(kinds)
    with Bar(len(repeated), "region drop", shown=progress) as bar:
        values = scorer.values(make, repeated, fixed, bar).double().reshape(len(inputs), kinds)
    by_map = values[:, 0].masked_fill(masking.has_nan(maps), torch.nan)
    return RegionDrop(
        fixed.reference[:, 0].double(), by_map, values[:, 1:], voxels, float(share), baselines.describe(baseline)
    )
