"""From the camera's pixels to the network's: separable filters, into tensors that are kept."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Filter = Callable[[float], float]


class Resampler:
    """Resample planes (C, H, W) to (C, h, w) as PIL resamples pictures of floats: one axis after the other.

    The filter is as wide as the pixels that become one, so that nothing aliases. ``"bilinear"`` and ``"bicubic"`` are
    torch's own operations, ``"nearest"`` takes pixels, and the other filters are products with matrices.

    Parameters
    ----------
    shape
        (C, H, W).
    size
        (h, w).
    resample
        ``"nearest"``, ``"box"``, ``"bilinear"``, ``"hamming"``, ``"bicubic"`` or ``"lanczos"``.
    device
        Of the planes.
    """

    def __init__(self, shape: tuple[int, int, int], size: tuple[int, int], resample: str, device: torch.device) -> None:
        channels, height, width = shape
        self._size, self._same = list(size), size == (height, width)
        self._halfway = torch.empty(1, channels, height, size[1], device=device)
        self._result = torch.empty(1, channels, *size, device=device)
        self._operation = _TORCH.get(resample, _TORCH["bilinear"])
        self._places = self._matrices = None
        if resample == "nearest":
            self._places = [_nearest(height, size[0], device), _nearest(width, size[1], device)]
        elif resample in _FILTERS:
            filtering, support = _FILTERS[resample]
            self._matrices = [
                _matrix(before, after, filtering, support).to(device)
                for before, after in zip((height, width), size, strict=True)
            ]

    def __call__(self, planes: Tensor) -> Tensor:
        """Return the planes resampled, float32 (C, h, w); overwritten by the next call."""
        if self._same:
            return self._result[0].copy_(planes)
        if self._places is not None:
            torch.index_select(planes, 2, self._places[1], out=self._halfway[0])
            torch.index_select(self._halfway[0], 1, self._places[0], out=self._result[0])
        elif self._matrices is not None:
            torch.matmul(planes, self._matrices[1].T, out=self._halfway[0])
            torch.matmul(self._matrices[0], self._halfway[0], out=self._result[0])
        else:
            height = planes.shape[1]
            self._operation(planes[None], [height, self._size[1]], False, None, None, out=self._halfway)
            self._operation(self._halfway, self._size, False, None, None, out=self._result)
        return self._result[0]


def _nearest(before: int, after: int, device: torch.device) -> Tensor:
    """The pixel that each new pixel's centre lies in."""
    places = ((torch.arange(after, dtype=torch.float64) + 0.5) * (before / after)).long()
    return places.clamp(max=before - 1).to(device)


def _matrix(before: int, after: int, filtering: Filter, support: float) -> Tensor:
    """Weights (after, before) of pixels in each new pixel; each row sums to 1."""
    step = before / after
    scale = max(step, 1.0)
    weights = torch.zeros(after, before, dtype=torch.float64)
    for i in range(after):
        centre = (i + 0.5) * step
        first = max(0, int(centre - support * scale + 0.5))
        last = min(before, int(centre + support * scale + 0.5))
        for j in range(first, last):
            weights[i, j] = filtering((j + 0.5 - centre) / scale)
    return (weights / weights.sum(1, keepdim=True)).float()


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def _box(x: float) -> float:
    return 1.0 if -0.5 < x <= 0.5 else 0.0


def _hamming(x: float) -> float:
    return _sinc(x) * (0.54 + 0.46 * math.cos(math.pi * x)) if abs(x) < 1 else 0.0


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if abs(x) < 3 else 0.0


_FILTERS: dict[str, tuple[Filter, float]] = {"box": (_box, 0.5), "hamming": (_hamming, 1.0), "lanczos": (_lanczos, 3.0)}
_TORCH = {
    "bilinear": torch.ops.aten._upsample_bilinear2d_aa.out,
    "bicubic": torch.ops.aten._upsample_bicubic2d_aa.out,
}
