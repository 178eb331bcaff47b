"""How a network's score falls when the pixels of a map are taken away, and rises when they are given back."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from camfast import baselines
from camfast.checks import check_count, check_inputs, check_maps
from camfast.metrics import masking
from camfast.progress import Bar
from camfast.recorder import Extract
from camfast.scoring import Scorer
from camfast.targets import Target, Unit

Kind = Literal["insertion", "deletion"]


@dataclass(frozen=True)
class PerturbationCurve:
    """Scores while pixels are replaced from the map's largest value down, or put back.

    Attributes
    ----------
    kind : str
        ``"deletion"`` or ``"insertion"``.
    fractions : Tensor
        Part of the pixels that is replaced or put back, (K + 1,), from 0 to 1.
    scores : Tensor
        Of each sample at each fraction, (N, K + 1), float64.
    targets
        What the scores are of: classes (N,), a region as a mask, a unit, or the caller's function.
    baseline : str
        What replaces pixels, or what they are put back into.
    softmax : bool
        Whether the scores are softmax probabilities.
    """

    kind: str
    fractions: Tensor
    scores: Tensor
    targets: Any
    baseline: str
    softmax: bool

    @property
    def auc(self) -> Tensor:
        """Area under each sample's curve by trapezoids, (N,)."""
        return torch.trapezoid(self.scores, self.fractions, dim=1)

    def __str__(self) -> str:
        better = "lower" if self.kind == "deletion" else "higher"
        what = "probability" if self.softmax and not isinstance(self.targets, Unit) else "score"
        return (
            f"{self.kind} AUC {float(self.auc.mean()):.4f} over {len(self.scores)} images, {better} is better "
            f"({what} of {_named(self.targets)}, {len(self.fractions) - 1} steps, baseline {self.baseline})"
        )


def deletion(
    model: nn.Module,
    inputs: Tensor,
    maps: Tensor,
    target: Target = "predicted",
    *,
    baseline: Literal["zero", "mean", "blur"] | float | Tensor = "zero",
    steps: int = 50,
    softmax: bool = True,
    output: Extract | None = None,
    batch: int = 32,
    seed: int = 0,
    progress: bool = False,
) -> PerturbationCurve:
    """Take pixels away, those with the largest map values first, and watch the score fall.

    At step i of K the ⌊P·i/K⌉ pixels of the largest values are replaced by the baseline, in all channels; the area
    under the score as a function of i/K is small where the map found what matters.

    Parameters
    ----------
    model
        Left as it was.
    inputs
        (N, C, *S).
    maps
        One map a sample at the inputs' size, (N, *S).
    target
        One scalar a sample: ``"predicted"``, the class that each unchanged image is given; a class; a LongTensor (N,);
        a `camfast.Region`, which keeps the positions that it has in the unchanged image; a function of the output.
    baseline
        ``"zero"``; ``"mean"``, of each image and channel; ``"blur"``, the image under a Gaussian of σ = ⅛ of each
        axis; a number; or a tensor that can be broadcast to the inputs.
    steps
        K; more than P pixels have no use.
    softmax
        Take the softmax over classes first.
    output
        Finds the scores in what the model returns.
    batch
        Images that go through the model at once.
    seed
        Of the order of pixels with the same value, the same for all images.
    progress
        Show a progress bar (needs tqdm, which the extra ``scan`` brings).

    Returns
    -------
    PerturbationCurve
        Curves (N, K + 1), ``auc`` (N,), and what they are of. NaN in a map comes out as NaN in that sample's curve.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    References
    ----------
    Petsiuk et al., RISE, BMVC 2018.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    >>> image, heat = torch.rand(1, 1, 4), torch.rand(1, 4)
    >>> camfast.metrics.deletion(model, image, heat, 0, steps=4).fractions
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000], dtype=torch.float64)
    """
    inputs = check_inputs(inputs)
    return _curve(
        "deletion", Scorer(model, output, batch, target, softmax), inputs, check_maps(maps, inputs), baseline,
        steps, seed=seed, progress=progress,
    )  # fmt: skip


def insertion(
    model: nn.Module,
    inputs: Tensor,
    maps: Tensor,
    target: Target = "predicted",
    *,
    baseline: Literal["zero", "mean", "blur"] | float | Tensor = "blur",
    steps: int = 50,
    softmax: bool = True,
    output: Extract | None = None,
    batch: int = 32,
    seed: int = 0,
    progress: bool = False,
) -> PerturbationCurve:
    """Put pixels into a blurred image, those with the largest map values first, and watch the score rise.

    At step i of K the ⌊P·i/K⌉ pixels of the largest values are the image's, the others the baseline's; the area under
    the score as a function of i/K is large where the map found what matters.

    Parameters
    ----------
    model, inputs, maps, target, baseline, steps, softmax, output, batch, seed, progress
        See `deletion`.

    Returns
    -------
    PerturbationCurve
        Curves (N, K + 1), ``auc`` (N,), and what they are of. NaN in a map comes out as NaN in that sample's curve.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    References
    ----------
    Petsiuk et al., RISE, BMVC 2018.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    >>> image, heat = torch.rand(1, 1, 4), torch.rand(1, 4)
    >>> curve = camfast.metrics.insertion(model, image, heat, baseline="zero", steps=4)
    >>> torch.allclose(curve.scores[0, -1].float(), model(image).softmax(1).amax())
    True
    """
    inputs = check_inputs(inputs)
    return _curve(
        "insertion", Scorer(model, output, batch, target, softmax), inputs, check_maps(maps, inputs), baseline,
        steps, seed=seed, progress=progress,
    )  # fmt: skip


def _curve(
    kind: Kind,
    scorer: Scorer,
    inputs: Tensor,
    maps: Tensor,
    baseline: Any,
    steps: int,
    *,
    seed: int,
    progress: bool,
) -> PerturbationCurve:
    pixels, spatial = maps[0].numel(), inputs.shape[2:]
    steps = min(check_count("steps", steps), pixels)
    replacement = baselines.baseline(inputs, baseline)
    fixed = scorer.fix(inputs, single=True)
    places = masking.ranks(maps, masking.tie_order(pixels, seed, maps.device))
    counts = (torch.arange(steps + 1, device=maps.device, dtype=torch.float64) * pixels / steps).round().long()

    def make(numbers: Tensor) -> Tensor:
        sample, step = numbers // (steps + 1), numbers % (steps + 1)
        taken = (places[sample] < counts[step, None]).reshape(-1, 1, *spatial)
        original, other = inputs[sample], replacement[sample]
        return torch.where(taken, other, original) if kind == "deletion" else torch.where(taken, original, other)

    rows = torch.arange(len(inputs), device=inputs.device).repeat_interleave(steps + 1)
    with Bar(len(rows), kind, shown=progress) as bar:
        values = scorer.values(make, rows, fixed, bar)
    scores = values.double().reshape(len(inputs), steps + 1)
    scores = scores.masked_fill(masking.has_nan(maps)[:, None], torch.nan)
    return PerturbationCurve(
        kind, counts.double() / pixels, scores, fixed.target, baselines.describe(baseline), scorer.softmax
    )


def _named(targets: Any) -> str:
    if isinstance(targets, Tensor):
        classes = sorted(set(targets.tolist()))
        return f"class {classes[0]}" if len(classes) == 1 else f"{len(classes)} classes"
    if isinstance(targets, Unit):
        return f"unit {targets.index} of layer {targets.layer!r}"
    return "a function of the output" if callable(targets) else f"the region of class {targets.class_index}"
