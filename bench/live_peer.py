"""The overlay as a person makes it of pytorch-grad-cam, OpenCV and numpy, for comparison."""

import importlib
import time
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.peers import import_pytorch_grad_cam
from camfast.models import Preprocess


class PeerOverlay:
    """Grad-CAM of the predicted class over a frame, by ``GradCAM`` and ``show_cam_on_image``.

    Parameters
    ----------
    model
        Which is explained.
    layer
        Dotted name.
    preprocess
        What a frame needs before the network; bilinear.

    Attributes
    ----------
    forward : float
        Milliseconds that the model's forward pass took in the last call.
    """

    def __init__(self, model: nn.Module, layer: str, preprocess: Preprocess) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            package = import_pytorch_grad_cam()
            painting = importlib.import_module("pytorch_grad_cam.utils.image")
        self.forward = 0.0
        self._began = 0.0
        model.register_forward_pre_hook(self._begin)
        model.register_forward_hook(self._end)
        self._explain = package.GradCAM(model, [model.get_submodule(layer)])
        self._paint = painting.show_cam_on_image
        self._preprocess = preprocess

    def __call__(self, frame: NDArray[Any], black: float, white: float) -> NDArray[np.uint8]:
        """The overlay of a grey frame (H, W) between two levels, (H, W, 3)."""
        import cv2

        p = self._preprocess
        assert p.size is not None
        gray = np.clip((frame.astype(np.float32) - black) / (white - black), 0, 1)
        small = cv2.resize(gray, p.size[::-1], interpolation=cv2.INTER_AREA)
        pixels = np.repeat(small[None] * np.float32(255 * p.scale), 3, 0)
        mean, std = (np.asarray(values, np.float32)[:, None, None] for values in (p.mean, p.std))
        grid = self._explain(torch.from_numpy((pixels - mean) / std)[None], None)[0]
        heat = cv2.resize(grid, frame.shape[::-1])
        picture: NDArray[np.uint8] = self._paint(np.repeat(gray[..., None], 3, 2), heat, use_rgb=True)
        return picture

    def _begin(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def _end(self, *_: Any) -> None:
        self.forward = (time.perf_counter() - self._began) * 1e3
