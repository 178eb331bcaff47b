"""Hide one window of the input after the other, and see what the score loses."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from camfast import baselines
from camfast.checks import check_inputs, check_sizes
from camfast.ops.forms import map_dtype
from camfast.progress import Bar
from camfast.recorder import Extract
from camfast.scoring import Scorer
from camfast.targets import Target


def occlusion(
    model: nn.Module,
    inputs: Tensor,
    target: Target = "predicted",
    *,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    baseline: Literal["zero", "mean", "blur"] | float | Tensor = "zero",
    softmax: bool = False,
    output: Extract | None = None,
    batch: int = 32,
    progress: bool = False,
) -> Tensor:
    """Map how much a score drops when a window around each place is hidden.

    L[p] = mean over the windows w that cover p of y(x) − y(x with w replaced by the baseline, in all channels).

    Parameters
    ----------
    model
        Left as it was.
    inputs
        (N, C, *S_in).
    target
        As for `camfast.Explainer`, chosen by the unchanged input: ``"predicted"`` keeps that class, and a
        `camfast.Region` those positions, whatever the changed inputs give. A function needs no graph here.
    window
        Size in pixels, one number or one a spatial axis.
    stride
        Distance of windows in pixels, at most the window; None: half of the window, rounded up. The last window along
        an axis is moved inside, so that every pixel is covered.
    baseline
        ``"zero"``; ``"mean"``, of each sample and channel; ``"blur"``, the sample under a Gaussian of σ = ⅛ of each
        axis; a number; or a tensor that can be broadcast to the inputs.
    softmax
        Take softmax probabilities in place of scores.
    output
        Finds the scores in what the model returns.
    batch
        Inputs that go through the model at once.
    progress
        Show a progress bar (needs tqdm, which the extra ``scan`` brings).

    Returns
    -------
    Tensor
        (N, *S_in), or (N, T, *S_in) for several targets; float32 (float64 for float64), positive where the score needs
        what was hidden.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    References
    ----------
    Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 1, bias=False))
    >>> _ = model[1].weight.data.copy_(torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0, 0.0]))
    >>> camfast.occlusion(model, torch.ones(1, 1, 6), 0, window=2, stride=2)
    tensor([[0., 0., 2., 2., 0., 0.]])
    """
    inputs = check_inputs(inputs)
    spatial = tuple(inputs.shape[2:])
    sizes = check_sizes("window", window, len(spatial), spatial)
    halves = [-(-size // 2) for size in sizes]
    steps = halves if stride is None else check_sizes("stride", stride, len(spatial), sizes)
    covers = [
        _cover(extent, size, step, inputs.device) for extent, size, step in zip(spatial, sizes, steps, strict=True)
    ]
    scorer = Scorer(model, output, batch, target, softmax)
    replacement = baselines.baseline(inputs, baseline)
    fixed = scorer.fix(inputs)
    places = [len(cover) for cover in covers]
    windows = torch.Size(places).numel()

    def make(numbers: Tensor) -> Tensor:
        sample = numbers // windows
        hidden = _inside(covers, torch.unravel_index(numbers % windows, places))
        return torch.where(hidden[:, None], replacement[sample], inputs[sample])

    rows = torch.arange(len(inputs), device=inputs.device).repeat_interleave(windows)
    with Bar(len(rows), "occlusion", shown=progress) as bar:
        values = scorer.values(make, rows, fixed, bar)
    values = values.reshape(len(inputs), *places, -1).movedim(-1, 1).double()
    drops = fixed.reference.double().reshape(*values.shape[:2], *(1,) * len(places)) - values
    maps, count = drops, torch.ones(places, dtype=torch.float64, device=inputs.device)
    for cover in covers:  # each axis of windows in turn becomes an axis of pixels, the last one
        maps, count = maps.flatten(0, 1).movedim(1, -1) @ cover, count.movedim(0, -1) @ cover
        maps = maps.reshape(*drops.shape[:2], *maps.shape[1:])
    maps = (maps / count).to(map_dtype(inputs.dtype))
    return maps if fixed.many else maps[:, 0]


def _cover(extent: int, size: int, step: int, device: torch.device) -> Tensor:
    """Which pixels each window covers along an axis, 0 or 1, float64 (windows, extent)."""
    starts = sorted({*range(0, extent - size + 1, step), extent - size})
    pixels, first = torch.arange(extent, device=device), torch.tensor(starts, device=device)[:, None]
    return ((pixels >= first) & (pixels < first + size)).double()


def _inside(covers: Sequence[Tensor], place: Sequence[Tensor]) -> Tensor:
    """The windows at some places, bool (B, *S)."""
    inside = torch.ones((), dtype=torch.bool, device=covers[0].device)
    for cover, index in zip(covers, place, strict=True):
        inside = inside[..., None] & cover[index].bool().reshape(len(index), *(1,) * max(0, inside.ndim - 1), -1)
    return inside
