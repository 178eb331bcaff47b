"""The effective receptive field of a layer: how wide its units really look, as the σ of a Gaussian in input pixels."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from camfast import guards, layers
from camfast._extras import require
from camfast.checks import check_count
from camfast.errors import CaptureError
from camfast.inputs import call
from camfast.recorder import CaptureOptions, Form, Recorder

Statistic = Literal["absolute", "mean", "rms"]

# what is averaged over images, and what is made of the average
_STATISTICS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "absolute": (torch.abs, lambda average: average),
    "mean": (lambda gradients: gradients, torch.relu),
    "rms": (torch.square, torch.sqrt),
}
# the fit looks at the box around everything above this part of the maximum, and one box width beyond
_VISIBLE = 1e-3
_PIXELS_OF_A_FIT = 3  # amplitude, centre and σ: fewer values along an axis leave them open


@dataclass(frozen=True)
class ReceptiveField:
    """What a Gaussian fitted to the gradient at the input says.

    Attributes
    ----------
    sigma : tuple of float
        σ along each spatial axis, in input pixels: what `camfast.cam` takes as ``sigma=``. Along an axis of one or two
        pixels nothing can be fitted: there it is the field's own spread, and half a pixel at least.
    centre : tuple of float
        Centre of the Gaussian, in input pixels.
    r_squared : float
        Part of the field's variance that the Gaussian explains; far below 0.9 it isn't one. NaN for a field
        without variance, such as that of a single pixel.
    r_squared_per_axis : tuple of float
        The same of a Gaussian along each axis alone, fitted to the field's sums over the other axes: it tells an axis
        along which the field isn't a Gaussian from one along which it is.
    images : int
        How many images were averaged.
    field : Tensor
        The averaged gradient, (*S_in).
    """

    sigma: tuple[float, ...]
    centre: tuple[float, ...]
    r_squared: float
    r_squared_per_axis: tuple[float, ...]
    images: int
    field: Tensor = dataclass_field(repr=False)


def effective_receptive_field(
    model: nn.Module,
    inputs: Tensor,
    layer: str | nn.Module,
    statistic: Statistic = "absolute",
    *,
    batch: int = 8,
) -> ReceptiveField:
    """Measure how far a layer's central unit looks, by the gradient of that unit at the input.

    The unit in the middle of the grid (h//2 along each axis), summed over the layer's channels, is differentiated with
    respect to the input; the gradient is summed over input channels and averaged over images, and a Gaussian
    a · exp(−Σ (x − c)² / 2σ²) with free amplitude, centre and σ along each axis is fitted to it.

    Parameters
    ----------
    model
        A trained module, left as it was.
    inputs
        Images like those that will be explained, (N, C, *S_in); tens of them.
    layer
        Dotted name or module.
    statistic
        How images are averaged: ``"absolute"`` the mean of |gradient|; ``"mean"`` the mean, negative pixels ignored,
        which needs very many images; ``"rms"`` the root of the mean square.
    batch
        How many images go through the model at once: memory grows with it, and not with the number of images.

    Returns
    -------
    ReceptiveField
        σ and centre in input pixels, and how well the Gaussian fits.

    Raises
    ------
    CaptureError
        If no gradient flows from the layer to the input.
    MissingExtraError
        Without the extra ``fit``, which brings lmfit.
    TypeError, ValueError
        If an argument doesn't fit, images hold NaN or infinity, or the gradient is 0 for these images.

    Warns
    -----
    TrainingModeWarning
        If the model is in training mode.

    References
    ----------
    Luo et al. 2016; Kim et al. 2020, section 4.1.

    Examples
    --------
    >>> blur = torch.nn.Sequential(*(torch.nn.Conv1d(1, 1, 3, padding=1, bias=False) for _ in range(24)))
    >>> for step in blur:
    ...     _ = torch.nn.init.constant_(step.weight, 1 / 3)
    >>> round(camfast.effective_receptive_field(blur, torch.ones(1, 1, 64), "23").sigma[0], 1)
    4.0
    """
    if statistic not in _STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(_STATISTICS)}, found {statistic!r}")
    if not isinstance(inputs, Tensor) or not 3 <= inputs.ndim <= 5 or len(inputs) == 0:
        found = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(
            "inputs must be a tensor (N, C, *S_in) with at least one image and one to three spatial axes, "
            f"found {found}"
        )
    if not inputs.is_floating_point():
        raise TypeError(f"inputs must hold real numbers, which alone have a gradient; found {inputs.dtype}")
    if not inputs.isfinite().all():  # a ReLU's gradient would hide them
        raise ValueError("inputs hold NaN or infinity, which a receptive field can't be measured on: leave them out")
    batch = check_count("batch", batch)
    inner = layers.unwrap(model)
    name, _ = layers.find(inner, layer)
    if inner.training:
        guards.warn_of_training_mode(inner)
    each, finish = _STATISTICS[statistic]
    total = torch.zeros(inputs.shape[2:], dtype=torch.float64, device=inputs.device)
    for first in range(0, len(inputs), batch):
        total += each(_input_gradients(inner, inputs[first : first + batch], name).double()).sum(0)
    field = finish(total / len(inputs))
    if not field.isfinite().all() or not field.any():
        raise ValueError(
            f"the gradient of layer {name!r} at the input is {'0' if not field.any() else 'not finite'} for these "
            "images: give other images, or a layer whose central unit is active"
        )
    measured = field.cpu().numpy()
    sigma, centre, r_squared = _fit(measured)
    axes = range(measured.ndim)
    alone = tuple(_fit(measured.sum(axis=tuple(other for other in axes if other != axis)))[2] for axis in axes)
    return ReceptiveField(sigma, centre, r_squared, alone, len(inputs), field.to(torch.float32))


def _input_gradients(model: nn.Module, inputs: Tensor, name: str) -> Tensor:
    """Gradient of each image's central unit, (N, *S_in)."""
    recorder = Recorder([name], CaptureOptions(), Form(detach=False, copy=True))
    with torch.inference_mode(False), torch.enable_grad():
        images = inputs.detach().clone().requires_grad_()
        with guards.model_untouched(model), recorder.alone(), recorder.attached(model):
            call(model, (images,), {})
        (activation,) = recorder.activations().values()
        if activation.ndim < 3:
            raise CaptureError(f"layer {name!r} has no spatial axes: its activation is {tuple(activation.shape)}")
        units = activation
        for extent in activation.shape[2:]:
            units = units.select(2, extent // 2)
        (gradients,) = torch.autograd.grad(units.sum(), images, allow_unused=True)
    if gradients is None:
        raise CaptureError(f"no gradient flows from layer {name!r} to the input")
    return gradients.sum(1)


def _fit(field: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    lmfit = require("lmfit", "fit", "fitting a receptive field")
    box = _visible_box(field)
    values = field[box]
    axes = np.meshgrid(*(np.arange(s.start, s.stop, dtype=np.float64) for s in box), indexing="ij", sparse=True)
    parameters = lmfit.Parameters()
    parameters.add("amplitude", value=float(values.max()))
    for axis, x in enumerate(axes):
        weight = values.sum()
        centre = float((values * x).sum() / weight)
        spread = float(np.sqrt((values * (x - centre) ** 2).sum() / weight))
        fits = x.size >= _PIXELS_OF_A_FIT
        parameters.add(f"centre{axis}", value=centre, vary=fits)
        parameters.add(f"sigma{axis}", value=max(spread, 0.5), min=1e-3, vary=fits)

    def difference(candidate: Any) -> NDArray[np.float64]:
        exponent = sum(
            ((x - candidate[f"centre{axis}"].value) / candidate[f"sigma{axis}"].value) ** 2
            for axis, x in enumerate(axes)
        )
        model: NDArray[np.float64] = candidate["amplitude"].value * np.exp(-0.5 * np.asarray(exponent)) - values
        return model.ravel()

    fitted = lmfit.minimize(difference, parameters)
    residual = float(np.square(fitted.residual).sum())
    total = float(np.square(values - values.mean()).sum())
    found = fitted.params
    return (
        tuple(float(found[f"sigma{axis}"].value) for axis in range(field.ndim)),
        tuple(float(found[f"centre{axis}"].value) for axis in range(field.ndim)),
        1 - residual / total if total > 0 else math.nan,
    )


def _visible_box(field: NDArray[np.float64]) -> tuple[slice, ...]:
    """The part of the field that the fit needs to see: a whole volume would take minutes."""
    box = []
    for places, extent in zip(np.nonzero(field > _VISIBLE * field.max()), field.shape, strict=True):
        first, last = int(places.min()), int(places.max()) + 1
        margin = last - first
        box.append(slice(max(0, first - margin), min(extent, last + margin)))
    return tuple(box)
