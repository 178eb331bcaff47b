"""What the kernels know of each method: its form, its code, and whether a ReLU ends it by default."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

Rectify = Literal["none", "gradients", "product"]
Gain = Literal["spray", "average", "mass"]
Upsample = Literal["linear", "gaussian"]
Blend = Literal["mean", "max"]

RECTIFY: tuple[Rectify, ...] = ("none", "gradients", "product")
GAINS: tuple[Gain, ...] = ("spray", "average", "mass")
UPSAMPLES: tuple[Upsample, ...] = ("linear", "gaussian")
BLENDS: tuple[Blend, ...] = ("mean", "max")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
IMAGE_DTYPES = (*DTYPES, torch.uint8, torch.uint16)
INDEX_DTYPES = (torch.int32, torch.int64)

SIGMA_MISSING = (
    "the Gaussian upsampling needs sigma=, in pixels of the map, one number or one a spatial axis: the effective "
    "receptive field of the layer, which camfast.effective_receptive_field measures (or upsample='linear')"
)

Centres = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Form:
    """The form of a method.

    Attributes
    ----------
    rectify
        None where the map is Σ_k w_k A_k with channel weights; else the rectification inside Σ_k G_k ⊙ A_k.
    relu
        Whether a ReLU on the map is part of the method.
    upsample
        How the method's map is brought to the size of the input.
    """

    rectify: Rectify | None
    relu: bool
    upsample: Upsample = "linear"

    @property
    def weighted(self) -> bool:
        """Whether the map is a weighted sum of channels."""
        return self.rectify is None


FORMS: dict[str, Form] = {
    "gradcam": Form(rectify=None, relu=True),
    "gradcam++": Form(rectify=None, relu=True),
    "xgradcam": Form(rectify=None, relu=True),
    "respond": Form(rectify=None, relu=False),
    "hirescam": Form(rectify="none", relu=True),
    "elementwise": Form(rectify="product", relu=False),
    "layercam": Form(rectify="gradients", relu=True),
    "extended": Form(rectify="none", relu=False, upsample="gaussian"),
}


def tensors_of(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among some values, and in the tuples among them."""
    return [
        tensor
        for value in values
        for tensor in (value if isinstance(value, tuple) else (value,))
        if isinstance(tensor, Tensor)
    ]


def map_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of maps and weights: float64 for float64, float32 for everything else."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def per_axis(sigma: float | Sequence[float], rank: int) -> list[float]:
    """One sigma an axis, from one number or a sequence."""
    return [float(sigma)] * rank if isinstance(sigma, int | float) else [float(value) for value in sigma]


def split_centres(
    centres: Centres | None, cells: Sequence[int], pixels: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Centre of the first cell and distance of the cells along each axis, in pixels.

    By default cells tile the pixels: c_i = (i + ½)·s − ½ with s = pixels / cells.
    """
    if centres is not None:
        if not all(hasattr(centre, "__len__") and len(centre) == 2 for centre in centres):
            raise ValueError(f"centres must hold (start, step) in pixels for each spatial axis, found {centres!r}")
        return [float(start) for start, _ in centres], [float(step) for _, step in centres]
    steps = [extent / max(count, 1) for count, extent in zip(cells, pixels, strict=False)]
    return [step / 2 - 0.5 for step in steps], steps


class FusedCam(NamedTuple):
    """What one pass over activations and gradients gives.

    Attributes
    ----------
    grid : Tensor
        The map on the layer's grid, (N, *S_grid) or (N, T, *S_grid).
    maps : Tensor
        The map at the size asked for; the grid itself where none was.
    weights : Tensor or None
        Channel weights (N, C) or (N, T, C) of the weighted methods.
    ill_conditioned : Tensor or None
        For the weighted methods, bool (N,) or (N, T): weights that divide by a small difference of large numbers.
    """

    grid: Tensor
    maps: Tensor
    weights: Tensor | None
    ill_conditioned: Tensor | None

    def targets(self, part: slice) -> "FusedCam":
        """Views of some of the targets, for results with an axis of targets."""
        grid = self.grid[:, part]
        return FusedCam(
            grid,
            grid if self.maps is self.grid else self.maps[:, part],
            None if self.weights is None else self.weights[:, part],
            None if self.ill_conditioned is None else self.ill_conditioned[:, part],
        )


class RunningMax(NamedTuple):
    """A maximum over units, and where it came from.

    Attributes
    ----------
    values : Tensor
        The maximum, (N, *S), in the dtype of maps.
    index : Tensor
        The unit that it came from, (N, *S), int32.
    """

    values: Tensor
    index: Tensor  # type: ignore[assignment]  # hides the tuple's own method
