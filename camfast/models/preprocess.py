"""What a person's picture needs before a network."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camfast._extras import require
from camfast.errors import InputError

LARGEST_SIDE = 8192
_BANDS = {"RGB": (0, 1, 2), "BGR": (2, 1, 0), "L": (0,)}
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_RESAMPLE = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")


@dataclass(frozen=True)
class Preprocess:
    """Turn a picture into a network's input: ((resized pixels · scale) − mean) / std, channel by channel.

    Parameters
    ----------
    size
        (height, width) to resize to, one number for a square, or None to keep the picture's size.
    channels
        Order of the network's channels: ``"RGB"``, ``"BGR"`` or ``"L"`` (one grey channel).
    scale
        Factor on the pixel values as the file holds them (0–255 for 8 bits).
    mean, std
        One number, or one for each channel in the order of ``channels``, after ``scale``.
    resample
        Filter of PIL: ``"nearest"``, ``"box"``, ``"bilinear"``, ``"hamming"``, ``"bicubic"``, ``"lanczos"``.

    Raises
    ------
    InputError
        If a field has another value than these.
    """

    size: tuple[int, int] | None = None
    channels: str = "RGB"
    scale: float = 1.0 / 255.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resample: str = "bilinear"

    def __post_init__(self) -> None:
        if self.channels not in _BANDS:
            raise InputError(f"channels must be one of {', '.join(_BANDS)}, not {reprlib.repr(self.channels)}")
        if self.resample not in _RESAMPLE:
            raise InputError(f"resample must be one of {', '.join(_RESAMPLE)}, not {reprlib.repr(self.resample)}")
        object.__setattr__(self, "size", _pair(self.size))
        object.__setattr__(self, "scale", float(self.scale))
        for name in ("mean", "std"):
            object.__setattr__(self, name, _per_channel(name, getattr(self, name), len(_BANDS[self.channels])))
        for name, values in (("scale", (self.scale,)), ("mean", self.mean), ("std", self.std)):
            if not np.isfinite(values).all():
                raise InputError(f"{name} must be finite, found {getattr(self, name)}")
        if not all(self.std):
            raise InputError(f"std must not hold 0, found {self.std}")

    def __call__(self, image: Any) -> Tensor:
        """Apply to one picture.

        Parameters
        ----------
        image
            A PIL image of any mode, or an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) in the order R, G, B,
            alpha, of any integer or real dtype. Alpha is dropped; grey is repeated where colours are wanted,
            colours become luma where grey is wanted.

        Returns
        -------
        Tensor
            (1, C, height, width), float32.

        Raises
        ------
        InputError
            If the array has another shape or holds no numbers.
        MissingExtraError
            If pillow is not installed.
        """
        bands = _bands(image, grey=self.channels == "L", size=self.size, resample=self.resample)
        pixels = np.stack([bands[band] for band in _BANDS[self.channels]])
        mean, std = (np.asarray(value, np.float32)[:, None, None] for value in (self.mean, self.std))
        return torch.from_numpy((pixels * np.float32(self.scale) - mean) / std)[None]


def _bands(image: Any, *, grey: bool, size: tuple[int, int] | None, resample: str) -> list[NDArray[np.float32]]:
    """Resize and split into float32 planes: one for grey, else R, G, B."""
    pil = require("PIL.Image", "plot", "Reading pictures")
    planes = _real_planes(image, pil)
    if planes is None:
        if not isinstance(image, pil.Image):
            array = np.asarray(image)
            image = pil.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)
        planes = [image.convert("L" if grey else "RGB")]
    elif grey and len(planes) > 1:
        colours = np.stack([np.asarray(plane) for plane in planes])
        planes = [pil.fromarray(np.tensordot(_LUMA, colours, axes=1))]
    elif not grey and len(planes) == 1:
        planes = planes * 3
    if size is not None:
        height, width = size
        planes = [plane.resize((width, height), pil.Resampling[resample.upper()]) for plane in planes]
    split = [band for plane in planes for band in plane.split()]
    return [np.asarray(band, dtype=np.float32) for band in split]


def _real_planes(image: Any, pil: Any) -> list[Any] | None:
    """Give pictures deeper than 8 bits as planes of mode F: PIL's colour conversions would clip them."""
    if isinstance(image, pil.Image):
        if not image.mode.startswith(("I", "F")):
            return None
        image = np.asarray(image)
    array = np.asarray(image)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or 0 in array.shape:
        raise InputError(f"a picture must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {array.shape}")
    if array.dtype == np.uint8:
        return None
    if array.dtype.kind not in "biuf":
        raise InputError(f"a picture must hold numbers, not {array.dtype}")
    array = array[..., None] if array.ndim == 2 else array[..., :3]
    return [pil.fromarray(np.ascontiguousarray(array[..., band], np.float32)) for band in range(array.shape[2])]


def _pair(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    values = (size, size) if isinstance(size, int) else tuple(size)
    if len(values) != 2 or not all(isinstance(value, int) and 0 < value <= LARGEST_SIDE for value in values):
        raise InputError(
            f"size must be a number of pixels or (height, width), each from 1 to {LARGEST_SIDE}, not "
            f"{reprlib.repr(size)}"
        )
    return values


def _per_channel(name: str, value: Any, channels: int) -> tuple[float, ...]:
    values = tuple(float(v) for v in value) if isinstance(value, Sequence) else (float(value),)
    if len(values) not in (1, channels):
        raise InputError(f"{name} must be one number or {channels}, one a channel, not {len(values)}")
    return values * channels if len(values) == 1 else values
