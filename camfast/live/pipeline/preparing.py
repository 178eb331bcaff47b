"""What a camera's frame needs before a network, and before a person's eye."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from camfast.live.frames import DTYPES
from camfast.live.pipeline.levels import HALF_LIFE, RunningRange
from camfast.live.pipeline.resampling import Resampler, resampler
from camfast.models import Preprocess

Levels = Literal["auto"] | tuple[float, float] | None

_BANDS = {"RGB": (0, 1, 2), "BGR": (2, 1, 0), "L": (0,)}
_LUMA = (0.299, 0.587, 0.114)
# Black and white of frames whose levels aren't given: nearly all pixels lie between them.
_PERCENTILES = (0.1, 99.9)


@dataclass(frozen=True)
class FrameForm:
    """What all frames of a pipeline are like.

    Attributes
    ----------
    shape : tuple of int
        (H, W), (H, W, 3), or (D, H, W) of a volume.
    dtype : str
        ``"uint8"``, ``"uint16"`` or ``"float32"``.
    volume : bool
        Whether three axes are those of a volume.
    """

    shape: tuple[int, ...]
    dtype: str
    volume: bool = False

    @classmethod
    def of(cls, shape: Sequence[int], dtype: Any, *, volume: bool = False) -> "FrameForm":
        """Make a form of a dtype's name, or of a dtype of numpy or torch."""
        name = str(dtype).removeprefix("torch.")
        if not isinstance(dtype, str | torch.dtype):
            name = np.dtype(dtype).name
        return cls(tuple(shape), name, volume)

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, found {self.dtype!r}")
        axes = "(D, H, W)" if self.volume else "(H, W) or (H, W, 3)"
        fits = len(self.shape) == 3 if self.volume else len(self.shape) == 2 or self.shape[2:] == (3,)
        if not fits or min(self.shape) < 1:
            raise ValueError(f"frame_shape must be {axes} with at least one pixel, found {self.shape}")

    @property
    def planes(self) -> tuple[int, int, int]:
        """(C, H, W) with the colours in front, or (D, H, W)."""
        if self.volume or len(self.shape) == 2:
            return (1, *self.shape)[-3:]  # type: ignore[return-value]
        return (3, self.shape[0], self.shape[1])


class Preparation:
    """Turn a raw frame into the network's input, and into the greys that are shown, in tensors that are kept.

    Both see the same pixels: v = 255·clip((frame − black)/(white − black), 0, 1). The input of a picture is
    (v·scale − mean)/std of ``preprocess`` after resampling (before the clipping, which changes nothing but at pixels
    beyond the levels); without ``preprocess`` the frame standardised: (frame − its mean)/its standard deviation.

    Parameters
    ----------
    form
        Of the frames.
    preprocess
        Of pictures; None: standardise, at the frame's own size.
    levels
        (black, white); ``"auto"``: the frames' running percentiles 0.1 and 99.9; None: (0, 255) for uint8, else auto.
    half_life
        Of the percentiles, in frames.
    device, dtype
        Of the network.

    Raises
    ------
    ValueError
        If ``levels`` are no two different finite numbers, or ``preprocess`` is given for volumes.
    """

    def __init__(
        self,
        form: FrameForm,
        preprocess: Preprocess | None,
        levels: Levels = None,
        half_life: float = HALF_LIFE,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if form.volume and preprocess is not None:
            raise ValueError("preprocess is for pictures: leave it out for volumes, which are standardised")
        self.form, self._preprocess = form, preprocess
        device = torch.device("cpu") if device is None else device
        self._planes = torch.empty(form.planes, device=device)
        size = (preprocess.size if preprocess else None) or form.planes[1:]
        self._resampler: Resampler | None = None
        if not form.volume:
            self._resampler = resampler(form.shape, size, preprocess.resample if preprocess else "bilinear", device)
        self._values = torch.zeros(self._input_shape(size), device=device)
        self.input = self._values if dtype == torch.float32 else self._values.to(dtype)
        self._fixed = fixed_levels(levels, form.dtype)
        values = math.prod(form.shape) if form.volume else form.planes[0] * math.prod(size)
        self._range = RunningRange(values, _PERCENTILES, half_life, device)
        if self._fixed is not None:
            self._range.ends.copy_(torch.tensor(self._fixed))
        self._luma = torch.tensor(_LUMA, device=device)[:, None, None]
        self._as_stored = form.dtype == "uint8" and self._fixed == (0.0, 255.0)
        self._in_colours = not form.volume and len(form.shape) == 3
        self._gray = torch.zeros(form.shape, dtype=torch.uint8, device=device)
        self._raw: Tensor | None = None
        self._is_gray = False

    @property
    def black(self) -> Tensor:
        """The level that is shown black, a tensor of no axis."""
        return self._range.low

    @property
    def white(self) -> Tensor:
        """The level that is shown white, a tensor of no axis."""
        return self._range.high

    def __call__(self, raw: Tensor) -> None:
        """Fill `input` from a frame of the form, on the network's device."""
        self._raw, self._is_gray = raw, False
        pixels = self._planes.copy_(raw) if self._resampler is None else self._resampler(raw)
        if self._fixed is None:
            self._range.update(pixels)
        if self._preprocess is None:
            self._standardise(pixels)
        else:
            self._normalise(pixels.sub_(self.black).mul_(self._gain()).clamp_(0, 255), self._preprocess)
        if self.input is not self._values:
            self.input.copy_(self._values)

    def make_gray(self) -> Tensor:
        """Return the last frame between black and white as 0 to 255, uint8; overwritten by the next one."""
        if self._is_gray or self._raw is None:
            return self._gray
        self._is_gray = True
        if self._as_stored:
            return self._gray.copy_(self._raw)
        self._planes.copy_(self._raw.permute(2, 0, 1) if self._in_colours else self._raw)
        shown = self._planes.sub_(self.black).mul_(self._gain()).add_(0.5)
        if self.form.dtype == "float32":
            shown.nan_to_num_(0.0)
        shown.clamp_(0, 255)
        return self._gray.copy_(shown.permute(1, 2, 0) if self._in_colours else shown.view(self.form.shape))

    def _gain(self) -> Tensor:
        span = self.white - self.black
        return torch.where(span == 0, 0.0, 255.0 / span)

    def levels(self) -> tuple[float, float]:
        """Black and white as two different numbers: where they are the same, or unknown, everything is black."""
        black, white = self._range.ends.tolist()
        if not math.isfinite(black):
            return 0.0, 1.0
        return black, white if black != white else black + 1e30

    def keep_in(self, tensor: Tensor) -> None:
        """Fill this tensor, shaped and typed like `input`, in its place."""
        if self.input is self._values:
            self._values = tensor
        self.input = tensor

    def forget(self) -> None:
        """Let black and white follow the frames from the next one on, unless they are given."""
        if self._fixed is None:
            self._range.reset()

    def _input_shape(self, size: tuple[int, ...]) -> tuple[int, ...]:
        if self.form.volume:
            return (1, 1, *self.form.shape)
        channels = len(_BANDS[self._preprocess.channels]) if self._preprocess else self.form.planes[0]
        return (1, channels, *size)

    def _standardise(self, pixels: Tensor) -> None:
        std, mean = torch.std_mean(pixels, correction=0)
        torch.sub(pixels.view(self._values.shape), mean, out=self._values)
        self._values.div_(torch.where(std > 0, std, 1.0))  # a shutter that is closed

    def _normalise(self, pixels: Tensor, preprocess: Preprocess) -> None:
        if preprocess.channels == "L" and len(pixels) == 3:
            pixels = pixels.mul_(self._luma).sum(0, keepdim=True)
        for channel, band in enumerate(_BANDS[preprocess.channels]):
            mean, std = preprocess.mean[channel], preprocess.std[channel]
            one = self._values[0, channel]
            torch.mul(pixels[band if len(pixels) == 3 else 0], preprocess.scale / std, out=one)
            one.sub_(mean / std)


def fixed_levels(levels: Any, dtype: str) -> tuple[float, float] | None:
    """(black, white), or None where they follow the frames.

    Raises
    ------
    ValueError
        If they are neither two different finite numbers nor ``"auto"`` nor None.
    """
    if levels is None:
        return (0.0, 255.0) if dtype == "uint8" else None
    if isinstance(levels, str) and levels == "auto":
        return None
    try:
        black, white = map(float, levels)
    except (TypeError, ValueError):
        black = white = math.nan
    if not (math.isfinite(black) and math.isfinite(white)) or black == white:
        raise ValueError(f"levels must be 'auto' or two different finite numbers (black, white), found {levels!r}")
    return black, white
