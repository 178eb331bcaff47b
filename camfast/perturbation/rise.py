"""Hide random parts of the input many times, and see with which parts the score is high."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from camfast import baselines, ops
from camfast.checks import check_count, check_inputs, check_sizes
from camfast.ops.forms import map_dtype
from camfast.progress import Bar
from camfast.recorder import Extract
from camfast.scoring import Scorer
from camfast.targets import Target


@dataclass(frozen=True)
class RandomMasks:
    """Smooth random masks, made when they are asked for.

    Attributes
    ----------
    grids : Tensor
        0 or 1 for each cell, (M, *cells).
    shifts : Tensor
        Where each mask is cut out of the upsampled grid, in pixels, (M, axes).
    cell : tuple of int
        Pixels a cell along each axis.
    size : tuple of int
        Of the masks.
    """

    grids: Tensor
    shifts: Tensor
    cell: tuple[int, ...]
    size: tuple[int, ...]

    def __call__(self, numbers: Tensor) -> Tensor:
        """Some of the masks, (B, *S)."""
        cells = self.grids.shape[1:]
        whole = [(count + 1) * pixels for count, pixels in zip(cells, self.cell, strict=True)]
        smooth = ops.linear_upsample(self.grids[numbers], whole)
        rank = len(self.size)
        index = [torch.arange(len(numbers), device=numbers.device).reshape(-1, *(1,) * rank)]
        for axis, extent in enumerate(self.size):
            places = self.shifts[numbers, axis, None] + torch.arange(extent, device=numbers.device)
            index.append(places.reshape(len(numbers), *(extent if a == axis else 1 for a in range(rank))))
        return smooth[tuple(index)]


def draw_masks(
    count: int, size: Sequence[int], cells: int | Sequence[int], probability: float, seed: int, like: Tensor
) -> RandomMasks:
    """Draw the grids and shifts of masks, the same on every device."""
    grid = check_sizes("cells", cells, len(size))
    generator = torch.Generator().manual_seed(seed)
    grids = (torch.rand(count, *grid, generator=generator) < probability).to(like.device, map_dtype(like.dtype))
    cell = tuple(-(-extent // number) for extent, number in zip(size, grid, strict=True))
    shifts = torch.stack([torch.randint(pixels, (count,), generator=generator) for pixels in cell], dim=1)
    return RandomMasks(grids, shifts.to(like.device), cell, tuple(size))


def rise(
    model: nn.Module,
    inputs: Tensor,
    target: Target = "predicted",
    *,
    masks: int = 1000,
    cells: int | Sequence[int] = 7,
    probability: float = 0.5,
    baseline: Literal["zero", "mean", "blur"] | float | Tensor = "zero",
    softmax: bool = True,
    output: Extract | None = None,
    batch: int = 32,
    seed: int = 0,
    progress: bool = False,
) -> Tensor:
    """Map where a score is high when a place is seen, over many random masks.

    L[p] = 1/(M·q) Σ_i y(m_i ⊙ x + (1 − m_i) ⊙ baseline) · m_i[p]. Each mask m_i is a grid of cells that are 1 with
    probability q and 0 otherwise, upsampled linearly to one cell more than the input along each axis, and cut out at a
    random shift of up to a cell. All samples see the same masks.

    Parameters
    ----------
    model
        Left as it was.
    inputs
        (N, C, *S_in).
    target
        As for `camfast.Explainer`, chosen by the unchanged input: ``"predicted"`` keeps that class, and a
        `camfast.Region` those positions, whatever the changed inputs give. A function needs no graph here.
    masks
        M; the noise of the map falls with its root. The paper takes 4,000 to 8,000.
    cells
        Of the grid, one number or one a spatial axis.
    probability
        q, above 0 and up to 1.
    baseline
        What is seen where the mask is 0: ``"zero"``, as in the paper; ``"mean"``, of each sample and channel;
        ``"blur"``, the sample under a Gaussian of σ = ⅛ of each axis; a number; or a tensor that can be
        broadcast to the inputs.
    softmax
        Take softmax probabilities, as the paper does: a score's offset would add noise. False for a single output.
    output
        Finds the scores in what the model returns.
    batch
        Inputs that go through the model at once.
    seed
        Of the masks.
    progress
        Show a progress bar (needs tqdm, which the extra ``scan`` brings).

    Returns
    -------
    Tensor
        (N, *S_in), or (N, T, *S_in) for several targets; float32 (float64 for float64).

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    References
    ----------
    Petsiuk et al., RISE: Randomized input sampling for explanation of black-box models, BMVC 2018.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1, bias=False))
    >>> _ = torch.nn.init.zeros_(model[1].weight).data[0, 27].fill_(1.0)
    >>> heat = camfast.rise(model, torch.ones(1, 1, 8, 8), 0, cells=4, softmax=False)
    >>> divmod(int(heat.argmax()), 8)
    (3, 3)
    """
    inputs = check_inputs(inputs)
    masks = check_count("masks", masks)
    if not isinstance(probability, int | float) or not 0 < probability <= 1:
        raise ValueError(f"probability must be above 0 and up to 1, found {probability!r}")
    seed = check_count("seed", seed, least=0)
    scorer = Scorer(model, output, batch, target, softmax)
    drawn = draw_masks(masks, inputs.shape[2:], cells, probability, seed, inputs)
    replacement = baselines.baseline(inputs, baseline)
    fixed = scorer.fix(inputs)

    def make(numbers: Tensor) -> Tensor:
        sample = numbers // masks
        seen = drawn(numbers % masks)[:, None].to(inputs.dtype)
        return inputs[sample] * seen + replacement[sample] * (1 - seen)

    rows = torch.arange(len(inputs), device=inputs.device).repeat_interleave(masks)
    with Bar(len(rows), "RISE", shown=progress) as bar:
        values = scorer.values(make, rows, fixed, bar).double().reshape(len(inputs), masks, -1)
    maps = torch.zeros(*values.shape[::2], *inputs.shape[2:], dtype=torch.float64, device=inputs.device)
    for part in scorer.parts(masks):
        seen = drawn(torch.arange(part.start, part.stop, device=inputs.device)).double()
        maps += torch.tensordot(values[:, part].transpose(1, 2), seen, dims=1)
    maps = (maps / (masks * probability)).to(map_dtype(inputs.dtype))
    return maps if fixed.many else maps[:, 0]
