"""From the camera's pixels to the network's: separable filters, into tensors that are kept."""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from camfast.ops import native

Filter = Callable[[float], float]


class Resampler(Protocol):
    """Resamples frames (H, W) or (H, W, C) to planes (C, h, w) as PIL resamples pictures of floats."""

    def __call__(self, frame: Tensor) -> Tensor:
        """Return the planes, float32; overwritten by the next call."""


def resampler(shape: tuple[int, ...], size: tuple[int, int], resample: str, device: torch.device) -> Resampler:
    """Make what resamples frames of a shape.

    The filter is as wide as the pixels that become one, so that nothing aliases. On a CPU the frame is read once, as it
    is stored, by `camfast.ops.native.resample`; elsewhere, and without the native extension, torch does it.

    Parameters
    ----------
    shape
        (H, W) or (H, W, C) of the frames.
    size
        (h, w).
    resample
        ``"nearest"``, ``"box"``, ``"bilinear"``, ``"hamming"``, ``"bicubic"`` or ``"lanczos"``.
    device
        Of the frames.
    """
    if device.type == "cpu" and native.load_failure() is None:
        return NativeResampler(shape, size, resample)
    return TorchResampler(shape, size, resample, device)


class NativeResampler:
    """Resamples on a CPU, any dtype of frames, in one pass."""

    def __init__(self, shape: tuple[int, ...], size: tuple[int, int], resample: str) -> None:
        self._bands = (*_band(shape[0], size[0], resample), *_band(shape[1], size[1], resample))
        self._result = torch.empty(*shape[2:] or (1,), *size)

    def __call__(self, frame: Tensor) -> Tensor:
        """See `Resampler`."""
        planes: Tensor = native.resample(frame, *self._bands, self._result)
        return planes


class TorchResampler:
    """Resamples by torch: its own antialiasing filters, or products with matrices where it has none."""

    def __init__(self, shape: tuple[int, ...], size: tuple[int, int], resample: str, device: torch.device) -> None:
        channels = shape[2] if len(shape) == 3 else 1
        self._size = list(size)
        self._planes = torch.empty(1, channels, *shape[:2], device=device)
        self._halfway = torch.empty(1, channels, shape[0], size[1], device=device)
        self._result = torch.empty(1, channels, *size, device=device)
        self._operation = _TORCH.get(resample)
        self._matrices = [_matrix(*sizes, resample).float().to(device) for sizes in zip(shape[:2], size, strict=True)]

    def __call__(self, frame: Tensor) -> Tensor:
        """See `Resampler`."""
        planes = self._planes
        planes[0].copy_(frame.permute(2, 0, 1) if frame.ndim == 3 else frame)
        if self._operation is None:
            torch.matmul(planes, self._matrices[1].T, out=self._halfway)
            torch.matmul(self._matrices[0], self._halfway, out=self._result)
        else:
            self._operation(planes, [planes.shape[2], self._size[1]], False, None, None, out=self._halfway)
            self._operation(self._halfway, self._size, False, None, None, out=self._result)
        return self._result[0]


def _band(before: int, after: int, resample: str) -> tuple[Tensor, Tensor]:
    """First pixel (after,) and weights (after, taps) of what each new pixel is made of."""
    matrix = _matrix(before, after, resample).numpy()
    used = matrix != 0
    first = used.argmax(1)
    taps = int((before - used[:, ::-1].argmax(1) - first).max())
    first = np.minimum(first, before - taps)
    weights = np.take_along_axis(matrix, first[:, None] + np.arange(taps), 1)
    return torch.from_numpy(first.astype(np.int32)), torch.from_numpy(weights.astype(np.float32))


def _matrix(before: int, after: int, resample: str) -> Tensor:
    """Weights (after, before) of pixels in each new pixel; each row sums to 1."""
    step = before / after
    weights = torch.zeros(after, before, dtype=torch.float64)
    if resample == "nearest":
        places = ((torch.arange(after, dtype=torch.float64) + 0.5) * step).long().clamp(max=before - 1)
        weights[torch.arange(after), places] = 1.0
        return weights
    filtering, support = _FILTERS[resample]
    scale = max(step, 1.0)
    for i in range(after):
        centre = (i + 0.5) * step
        first = max(0, int(centre - support * scale + 0.5))
        last = min(before, int(centre + support * scale + 0.5))
        for j in range(first, last):
            weights[i, j] = filtering((j + 0.5 - centre) / scale)
    return weights / weights.sum(1, keepdim=True)


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def _box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def _bilinear(x: float) -> float:
    return max(0.0, 1 - abs(x))


def _hamming(x: float) -> float:
    return _sinc(x) * (0.54 + 0.46 * math.cos(math.pi * x)) if abs(x) < 1 else 0.0


def _bicubic(x: float) -> float:
    """Keys' kernel with a = −0.5."""
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if abs(x) < 3 else 0.0


_FILTERS: dict[str, tuple[Filter, float]] = {
    "box": (_box, 0.5),
    "bilinear": (_bilinear, 1.0),
    "hamming": (_hamming, 1.0),
    "bicubic": (_bicubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}
_TORCH = {
    "bilinear": torch.ops.aten._upsample_bilinear2d_aa.out,
    "bicubic": torch.ops.aten._upsample_bicubic2d_aa.out,
}
