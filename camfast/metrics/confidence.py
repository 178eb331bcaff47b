"""What is left of a network's confidence when it sees only what a map shows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from camfast.baselines import describe
from camfast.checks import check_inputs, check_maps
from camfast.metrics import masking
from camfast.progress import Bar
from camfast.recorder import Extract
from camfast.scoring import Scorer

Mask = Literal["absolute", "top50"]
Scale = Literal["minmax", "positive"]

_MASKS = ("absolute", "top50")
_SCALES = ("minmax", "positive")


@runtime_checkable
class _Normalisation(Protocol):
    """What `camfast.models.Preprocess` has."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class ConfidenceChange:
    """Confidences for the full and the masked images, one a sample.

    Attributes
    ----------
    full : Tensor
        Y, the softmax confidence in the full image's top class, (N,), float64.
    masked : Tensor
        O, the confidence in the same class for the masked image, (N,), float64.
    classes : Tensor
        The top class, (N,), int64.
    constant : Tensor
        Maps that no mask can be made of, bool (N,): equal everywhere, or nowhere positive where ``scale="positive"``
        makes the mask. Nothing is kept of those images.
    mask, scale, baseline : str
        How the masks were made.
    """

    full: Tensor
    masked: Tensor
    classes: Tensor
    constant: Tensor
    mask: str
    scale: str
    baseline: str

    @property
    def drop(self) -> Tensor:
        """100 · max(0, Y − O) / Y for each sample, in %, (N,)."""
        return 100 * (self.full - self.masked).clamp(min=0) / self.full

    @property
    def increased(self) -> Tensor:
        """Whether O > Y, as 0 or 100 %, (N,); NaN where a confidence is."""
        risen = 100 * (self.masked > self.full).to(self.full)
        return risen.masked_fill((self.masked + self.full).isnan(), torch.nan)

    @property
    def average_drop(self) -> float:
        """Mean of `drop`, in %: the lower the better."""
        return float(self.drop.mean())

    @property
    def increase(self) -> float:
        """Mean of `increased`, in %: the higher the better."""
        return float(self.increased.mean())

    def __str__(self) -> str:
        mask = f"{self.mask}, {self.scale}" if self.mask == "absolute" else self.mask
        return (
            f"average drop {self.average_drop:.2f} %, increase {self.increase:.2f} % over {len(self.full)} images "
            f"(mask {mask}; baseline {self.baseline}; {int(self.constant.sum())} constant maps)"
        )


def confidence_change(
    model: nn.Module,
    inputs: Tensor,
    maps: Tensor,
    *,
    mask: Mask = "absolute",
    scale: Scale = "minmax",
    baseline: Literal["black", "mean"] | Tensor = "black",
    preprocess: Any = None,
    output: Extract | None = None,
    batch: int = 32,
    seed: int = 0,
    progress: bool = False,
) -> ConfidenceChange:
    """Compare a network's confidence for images with that for the parts of them that their maps show.

    Y = softmax(scores)[c] with c the top class of the full image, O the same for m ⊙ image + (1 − m) ⊙ baseline.
    The relative mask ``"top50"`` is 1 at exactly ⌊P/2⌋ of the P pixels, those where the map is largest; ties are broken
    by one order of the pixels drawn with ``seed``, the same for all images.

    Parameters
    ----------
    model
        A classifier whose output is (N, C) before softmax; left as it was.
    inputs
        What the network is given, (N, C, *S), after preprocessing.
    maps
        Maps of the top classes at the inputs' size, (N, *S), after the method's own ReLU.
    mask
        ``"absolute"``: the scaled map multiplies the image; ``"top50"``: half of the pixels are kept.
    scale
        Of the absolute mask: ``"minmax"``, (u − min)/(max − min), or ``"positive"``, relu(u)/max, for each map.
    baseline
        ``"black"``: the mask multiplies the image as displayed, before preprocessing; ``"mean"``: after it, where 0 is
        the mean of the data; or a tensor that can be broadcast to the inputs.
    preprocess
        For ``"black"``, what stands between the displayed image and the inputs, affine in each pixel: a
        `camfast.models.Preprocess`, or a function of a displayed batch (1, C, *S); None: nothing does, and 0 is black.
    output
        Finds the scores in what the model returns.
    batch
        Images that go through the model at once.
    seed
        Of the order that breaks ties.
    progress
        Show a progress bar (needs tqdm, which the extra ``scan`` brings).

    Returns
    -------
    ConfidenceChange
        One Y, O, drop and increase a sample, for paired intervals, and their means.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    Notes
    -----
    Multiplying before an affine preprocessing f is the same as blending after it: f(m ⊙ x) = m ⊙ f(x) + (1 − m) ⊙ f(0).
    Constant maps give the mask 0 and are counted. NaN in a map comes out as NaN in that sample.

    References
    ----------
    Chattopadhay et al., Grad-CAM++, WACV 2018; Kim et al., Extended-CAM, 2020, which doesn't say how maps were scaled.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
    >>> _ = model[1].weight.data.copy_(torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]))
    >>> image, heat = torch.tensor([[[2.0, 0.0, 0.0, 1.0]]]), torch.tensor([[1.0, 0.5, 0.0, 0.0]])
    >>> print(camfast.metrics.confidence_change(model, image, heat))
    average drop 0.00 %, increase 100.00 % over 1 images (mask absolute, minmax; baseline black; 0 constant maps)
    """
    if mask not in _MASKS:
        raise ValueError(f"mask must be one of {', '.join(_MASKS)}, found {mask!r}")
    if scale not in _SCALES:
        raise ValueError(f"scale must be one of {', '.join(_SCALES)}, found {scale!r}")
    inputs = check_inputs(inputs)
    maps = check_maps(maps, inputs)
    replacement = _replacement(baseline, preprocess, inputs)
    scorer = Scorer(model, output, batch)
    order = masking.tie_order(maps[0].numel(), seed, maps.device)
    found = []
    with Bar(len(inputs), "confidence", shown=progress) as bar:
        for part in scorer.parts(len(inputs)):
            images, heat = inputs[part], maps[part]
            full = _confidences(scorer(images.clone()).scores)
            classes = full.argmax(1, keepdim=True)
            masks, constant = masking.absolute(heat, scale) if mask == "absolute" else masking.top_half(heat, order)
            masks = masks[:, None].to(images.dtype)
            masked = _confidences(scorer(images * masks + replacement[part] * (1 - masks)).scores)
            found.append((full.gather(1, classes)[:, 0], masked.gather(1, classes)[:, 0], classes[:, 0], constant))
            bar.update(len(images))
    full, shown, classes, constant = (torch.cat(column) for column in zip(*found, strict=True))
    return ConfidenceChange(full, shown, classes, constant, mask, scale, describe(baseline))


def average_drop(model: nn.Module, inputs: Tensor, maps: Tensor, **options: Any) -> float:
    """Average drop %: 100/N Σ max(0, Y − O)/Y, what confidence is lost where only the map's parts are seen.

    `confidence_change` gives this and `increase_in_confidence` at once.

    Parameters
    ----------
    model, inputs, maps, options
        See `confidence_change`.

    Returns
    -------
    float
        In %, from 0 to 100; the lower the better. NaN if a map holds NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    References
    ----------
    Chattopadhay et al., Grad-CAM++, WACV 2018.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    >>> 0 <= camfast.metrics.average_drop(model, torch.rand(3, 1, 4), torch.rand(3, 4), mask="top50") <= 100
    True
    """
    return confidence_change(model, inputs, maps, **options).average_drop


def increase_in_confidence(model: nn.Module, inputs: Tensor, maps: Tensor, **options: Any) -> float:
    """Increase in confidence %: 100/N Σ 1[O > Y], how often the network is surer where only the map's parts are seen.

    `confidence_change` gives this and `average_drop` at once.

    Parameters
    ----------
    model, inputs, maps, options
        See `confidence_change`.

    Returns
    -------
    float
        In %, from 0 to 100; the higher the better. NaN if a map holds NaN.

    Raises
    ------
    TypeError, ValueError
        If an argument doesn't fit; the message names it.

    References
    ----------
    Chattopadhay et al., Grad-CAM++, WACV 2018.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    >>> camfast.metrics.increase_in_confidence(model, torch.rand(2, 1, 4), torch.rand(2, 4)) in (0, 50, 100)
    True
    """
    return confidence_change(model, inputs, maps, **options).increase


def _confidences(scores: Tensor) -> Tensor:
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(
            f"confidences are those of a classifier with the output (N, C), C at least 2; found {tuple(scores.shape)}"
        )
    return scores.double().softmax(1)  # float32 would round what is nearly sure to 1


def _replacement(baseline: Any, preprocess: Any, inputs: Tensor) -> Tensor:
    """What the inputs are where the mask is 0, at their size."""
    if isinstance(baseline, Tensor):
        black = baseline
    elif baseline == "mean" or (baseline == "black" and preprocess is None):
        black = torch.zeros(())
    elif baseline == "black":
        black = _black(preprocess, inputs)
    else:
        raise ValueError(f"baseline must be 'black', 'mean' or a tensor, found {baseline!r}")
    try:
        return black.detach().to(inputs).expand_as(inputs)
    except RuntimeError:
        raise ValueError(
            f"the baseline {tuple(black.shape)} must broadcast to the inputs, {tuple(inputs.shape)}"
        ) from None


def _black(preprocess: _Normalisation | Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """The network's input for a black picture, to be broadcast over samples."""
    if isinstance(preprocess, _Normalisation):
        black = -torch.tensor(preprocess.mean, dtype=torch.float64) / torch.tensor(preprocess.std, dtype=torch.float64)
        return black.reshape(-1, *(1,) * (inputs.ndim - 2))
    if callable(preprocess):
        return preprocess(torch.zeros_like(inputs[:1]))
    raise TypeError(
        "preprocess must be a camfast.models.Preprocess or a function of a displayed batch, found "
        f"{type(preprocess).__name__}"
    )
