"""Small networks, and what a frame's overlay is when it is made step by step in float64."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import camfast
from camfast.models import Preprocess


def pictures(channels: int = 3, classes: int = 5) -> nn.Sequential:
    """A network of pictures of any size, whose layer "3" is explained."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, classes, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    ).eval()


def volumes(classes: int = 4) -> nn.Sequential:
    """A network of volumes, whose layer "1" is explained."""
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Conv3d(1, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool3d(2), nn.Flatten(), nn.Linear(48, classes)
    ).eval()


def greys(frame: NDArray[np.generic], black: float, white: float) -> NDArray[np.float64]:
    """255·clip((frame − black)/(white − black), 0, 1)."""
    return 255 * np.clip((frame.astype(np.float64) - black) / (white - black), 0, 1)


def network_input(frame: NDArray[np.generic], preprocess: Preprocess, black: float, white: float) -> Tensor:
    """What a network gets of a frame, (1, C, h, w) float64: resampled by PIL, then cut to the levels."""
    planes = frame[None] if frame.ndim == 2 else np.moveaxis(frame, -1, 0)
    if preprocess.size is not None:
        size = preprocess.size[::-1]
        filtering = Image.Resampling[preprocess.resample.upper()]
        planes = [Image.fromarray(np.ascontiguousarray(p, np.float32)).resize(size, filtering) for p in planes]
    values = greys(np.stack([np.asarray(p) for p in planes]), black, white)
    if preprocess.channels == "L":
        values = np.tensordot([0.299, 0.587, 0.114], values, 1)[None] if len(values) == 3 else values
    else:
        values = np.repeat(values, 3, 0) if len(values) == 1 else values
        values = values[::-1] if preprocess.channels == "BGR" else values
    mean, std = (np.asarray(v, float)[:, None, None] for v in (preprocess.mean, preprocess.std))
    return torch.from_numpy((values * preprocess.scale - mean) / std)[None]


def painted(gray: Tensor, grid: Tensor, low: float, high: float, alpha: float = 0.5) -> NDArray[np.float64]:
    """The linear overlay in jet, float64, by torch alone."""
    size = gray.shape[:2]
    heat = F.interpolate(grid.double()[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    t = ((heat - low) / (high - low)).clamp(0, 1)
    colour = camfast.ops.colormaps.color_table("jet", torch.device("cpu"))[(255 * t).round().long()].double()
    v = gray.double() if gray.ndim == 3 else gray.double()[..., None]
    return (v + (colour - v) * alpha).numpy()
