"""Sigmas of the Gaussian upsampling, measured on a person's own images once for each layer."""

import threading
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from camfast.capture import spatial_size
from camfast.receptive_field import effective_receptive_field


class Calibration:
    """Measures the effective receptive field of a model's layers when it is first asked for; safe between threads.

    Parameters
    ----------
    model
        An unwrapped module.
    images
        Inputs like those that will be explained, (N, C, *S_in); tens of them.

    Raises
    ------
    TypeError, ValueError
        If the images are no such tensor.
    """

    def __init__(self, model: nn.Module, images: Any) -> None:
        if not isinstance(images, Tensor):
            raise TypeError(f"calibration must be a tensor of images (N, C, *S_in), found {type(images).__name__}")
        if not 3 <= images.ndim <= 5 or len(images) == 0:
            raise ValueError(
                "calibration must be images (N, C, *S_in), at least one, with one to three spatial axes; found "
                f"{tuple(images.shape)}"
            )
        self._model, self._images = model, images
        self._lock = threading.Lock()
        self._sigmas: dict[str, tuple[float, ...]] = {}

    def sigma(self, layer: str, inputs: Any = None, size: Sequence[int] | None = None) -> tuple[float, ...]:
        """The layer's σ along each spatial axis, in pixels of the images, or of maps of ``size`` for the inputs.

        Raises
        ------
        ValueError
            If the inputs have other channels or axes than the images, or no σ can be measured.
        """
        if isinstance(inputs, Tensor) and (
            inputs.ndim != self._images.ndim or inputs.shape[1] != self._images.shape[1]
        ):
            raise ValueError(
                f"calibration must hold images like the inputs, which have the shape {tuple(inputs.shape)}; found "
                f"{tuple(self._images.shape)}"
            )
        sigma = self._measured(layer)
        extents = spatial_size(inputs)
        if size is None or extents is None:
            return sigma
        return tuple(s * pixels / extent for s, pixels, extent in zip(sigma, size, extents, strict=False))

    def _measured(self, layer: str) -> tuple[float, ...]:
        with self._lock:
            if layer not in self._sigmas:
                try:
                    self._sigmas[layer] = effective_receptive_field(self._model, self._images, layer).sigma
                except (RuntimeError, ValueError) as error:
                    error.add_note(
                        f"camfast was measuring sigma='auto' of layer {layer!r} on calibration= of the shape "
                        f"{tuple(self._images.shape)}"
                    )
                    raise
            return self._sigmas[layer]


def calibrated(model: nn.Module, sigma: Any, images: Any) -> Calibration | None:
    """The calibration that ``sigma="auto"`` asks for; None for a sigma in pixels.

    Raises
    ------
    TypeError, ValueError
        If images are missing, or given for nothing.
    """
    auto = isinstance(sigma, str) and sigma == "auto"
    if auto and images is None:
        raise ValueError("sigma='auto' needs calibration=, images like those that will be explained, to measure it on")
    if not auto and images is not None:
        raise ValueError(f"calibration belongs to sigma='auto', found it with sigma={sigma!r}")
    return Calibration(model, images) if auto else None
