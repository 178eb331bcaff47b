"""One axis of an upsampling as a banded matrix, on the device where a kernel reads it.

The upsamplings of a GPU multiply each axis of a grid by such a band; they don't know whether it interpolates linearly
or sprays Gaussians. Bands are computed in float64 on the CPU, once, and kept.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch
from torch import Tensor

from camfast.errors import BackendError
from camfast.ops.forms import Gain

# Cells farther than this many sigma from a pixel are left out: exp(-5.5² / 2) < 3e-7.
REACH = 5.5


class Band(NamedTuple):
    """out[x] = Σ_t weights[t, x] · in[first[x] + t].

    Attributes
    ----------
    first : Tensor
        First cell of each pixel, int32 (pixels,). All of its taps lie inside the grid.
    weights : Tensor
        (taps, pixels) in the dtype of maps.
    """

    first: Tensor
    weights: Tensor

    @property
    def taps(self) -> int:
        """Number of cells that a pixel is made of."""
        return self.weights.shape[0]

    @property
    def pixels(self) -> int:
        """Length of the axis behind the upsampling."""
        return self.weights.shape[1]


def linear_band(cells: int, pixels: int, dtype: torch.dtype, device: torch.device) -> Band | None:
    """Half-pixel centres, clamped at the edges; None where the axis stays as it is."""
    if cells == pixels:
        return None
    return _CACHE.get(("linear", cells, pixels), dtype, device, lambda: _linear(cells, pixels))


def gaussian_band(
    cells: int,
    pixels: int,
    sigma: float,
    start: float,
    step: float,
    gain: Gain,
    dtype: torch.dtype,
    device: torch.device,
) -> Band:
    """exp(−(x − c_i)² / 2σ²) with c_i = start + i·step, normalised as the gain says; all in pixels."""
    key = ("gaussian", cells, pixels, sigma, start, step, gain)
    return _CACHE.get(key, dtype, device, lambda: _gaussian(cells, pixels, sigma, start, step, gain))


class _Cache:
    """Bands by what defines them, those used last kept; those that a captured graph reads are kept for ever."""

    _LIMIT = 1024

    def __init__(self) -> None:
        self._bands: OrderedDict[Hashable, Band] = OrderedDict()
        self._captured: dict[Hashable, Band] = {}
        self._lock = threading.Lock()

    def get(
        self, key: Hashable, dtype: torch.dtype, device: torch.device, make: Callable[[], tuple[Tensor, Tensor]]
    ) -> Band:
        key = (key, dtype, device)
        capturing = device.type == "cuda" and torch.cuda.is_current_stream_capturing()
        with self._lock:
            band = self._bands.get(key)
            if band is not None:
                self._bands.move_to_end(key)
            elif capturing:
                raise BackendError(
                    "an upsampling of this size has to run once before it can be captured in a CUDA graph: "
                    "its weights are copied to the device by the first call"
                )
            else:
                first, weights = make()
                band = Band(first.to(device, torch.int32), weights.to(device, dtype).contiguous())
                self._bands[key] = band
            if capturing:
                self._captured[key] = band
            elif len(self._bands) > self._LIMIT:
                self._drop_half(device)
        return band

    def _drop_half(self, device: torch.device) -> None:
        # a kernel on another stream may still read what is about to be freed
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        while len(self._bands) > self._LIMIT // 2:
            self._bands.popitem(last=False)


_CACHE = _Cache()


def _linear(cells: int, pixels: int) -> tuple[Tensor, Tensor]:
    x = torch.arange(pixels, dtype=torch.float64)
    source = ((x + 0.5) * (cells / pixels) - 0.5).clamp(0, cells - 1)
    first = source.floor().clamp(max=max(cells - 2, 0))
    fraction = source - first
    return first, torch.stack([1 - fraction, fraction][: min(cells, 2)])


def _gaussian(cells: int, pixels: int, sigma: float, start: float, step: float, gain: Gain) -> tuple[Tensor, Tensor]:
    x = torch.arange(pixels, dtype=torch.float64)
    taps = _taps(cells, pixels, sigma, start, step, gain)
    first = (_nearest((x - start) / step, cells) - taps // 2).clamp(0, cells - taps)
    cell = first + torch.arange(taps, dtype=torch.float64)[:, None]

    def exponent(pixel: Tensor, cell: Tensor) -> Tensor:
        return -0.5 * ((pixel - (start + cell * step)) / sigma) ** 2

    # Exponents are taken relative to the largest of their sum, so that no sum is 0: far outside the cells a pixel's
    # average is the nearest cell, far outside the image a cell's mass is the nearest pixel's.
    if gain == "spray":
        return first, exponent(x, cell).exp()
    if gain == "average":
        weights = (exponent(x, cell) - exponent(x, _nearest((x - start) / step, cells))).exp()
        return first, weights / weights.sum(0)
    weights = (exponent(x, cell) - exponent(_nearest(start + cell * step, pixels), cell)).exp()
    index = cell.long().flatten()
    mass = torch.zeros(cells, dtype=torch.float64).index_add_(0, index, weights.flatten())
    return first, weights / mass[index].view_as(weights)


def _taps(cells: int, pixels: int, sigma: float, start: float, step: float, gain: Gain) -> int:
    """Cells within reach of a pixel; all of them where one so far outside the image has to keep its mass."""
    reach = REACH * sigma
    outside = start < -reach or start + (cells - 1) * step > pixels - 1 + reach
    if gain == "mass" and outside:
        return cells
    # Around the nearest cell, half a step away at most: those that weigh anything beside it, and enough for each
    # cell to be among those of its nearest pixel.
    farthest = max(math.hypot(reach, step / 2), 0.5)
    return int(min(2 * math.ceil(farthest / step - 0.5) + 1, cells))


def _nearest(position: Tensor, size: int) -> Tensor:
    return position.round().clamp(0, size - 1)
