"""What lies under a map: a grey or a colour image."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def as_array(values: Any) -> NDArray[Any]:
    """Values on the CPU: uint8 as they are, all else float32."""
    if isinstance(values, torch.Tensor):
        values = values.detach().float().cpu().numpy()
    array = np.asarray(values)
    return array if array.dtype == np.uint8 else array.astype(np.float32)


def stretch_of(values: NDArray[Any]) -> tuple[float, float]:
    """Values that are drawn black and white: the 1st and 99th percentile."""
    low, high = np.nanpercentile(values, (1, 99))
    return float(low), float(high if high > low else low + 1)


def desaturated(picture: NDArray[Any], amount: float) -> NDArray[Any]:
    """Mix a colour image, uint8 or float, with its luma."""
    if picture.ndim == 2:
        return picture
    luma = (picture @ np.array([0.299, 0.587, 0.114]))[..., None]
    mixed: NDArray[Any] = ((1 - amount) * picture + amount * luma).astype(picture.dtype)
    return mixed


def draw_image(axes: Any, picture: NDArray[Any], stretch: tuple[float, float]) -> None:
    """Draw a grey image stretched as said, or a colour image as it is."""
    if picture.ndim == 3:
        axes.imshow(picture if picture.dtype == np.uint8 else np.clip(picture, 0, 1), interpolation="nearest")
    else:
        axes.imshow(picture, cmap="gray", vmin=stretch[0], vmax=stretch[1], interpolation="nearest")
