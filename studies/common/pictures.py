"""Photographs and CIFAR images with the networks that were trained on their like."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor, nn

from camfast.models import Loaded, Preprocess, load
from studies.common.paths import data

PHOTOGRAPHS = ("both.png", "chelsea.png", "coffee.png", "parrot.jpg")


@dataclass(frozen=True)
class Pictures:
    """Pictures as a network sees them.

    Attributes
    ----------
    network : Module
        In eval mode.
    preprocess : Preprocess
        From the displayed picture to the input.
    displayed : ndarray
        (N, H, W, 3), uint8, at the size of the input.
    labels : sequence of str
        Names of the network's classes.
    names : sequence of str
        Of the pictures.
    """

    network: nn.Module
    preprocess: Preprocess
    displayed: NDArray[np.uint8]
    labels: Sequence[str]
    names: Sequence[str]

    @property
    def inputs(self) -> Tensor:
        """What the network takes, (N, C, H, W)."""
        return torch.cat([self.preprocess(picture) for picture in self.displayed])


def first(found: Pictures, count: int) -> Pictures:
    """The first pictures only."""
    return replace(found, displayed=found.displayed[:count], names=found.names[:count])


def photographs(views: int = 1) -> Pictures:
    """The four photographs for SqueezeNet v1.0; with more views, that many crops and reflections of each."""
    folder = data("imagenet")
    loaded = load("squeezenet1_0", folder / "squeezenet1_0.safetensors")
    labels = (folder / "imagenet_labels.txt").read_text().splitlines()[1:]
    shown, names = [], []
    for name in PHOTOGRAPHS:
        with Image.open(folder / name) as picture:
            whole = picture.convert("RGB")
        for view in range(views):
            shown.append(_resized(_view(whole, view), loaded, Image.Resampling.BICUBIC))
            names.append(name.partition(".")[0])
    return _pictures(loaded, shown, [label.partition(",")[0] for label in labels], names)


def cifar(each: int = 10) -> Pictures:
    """CIFAR-10 test images for ResNet-20, some of each class, in the order of the classes."""
    folder = data("cifar10")
    loaded = load("resnet20", folder / "resnet20.safetensors")
    assert loaded.labels is not None
    shown, names = [], []
    for label in loaded.labels:
        for path in sorted((folder / label).iterdir())[:each]:
            with Image.open(path) as picture:
                shown.append(_resized(picture.convert("RGB"), loaded, Image.Resampling.BILINEAR))
            names.append(label)
    return _pictures(loaded, shown, loaded.labels, names)


def _pictures(loaded: Loaded, shown: list[NDArray[np.uint8]], labels: Sequence[str], names: list[str]) -> Pictures:
    assert loaded.preprocess is not None
    return Pictures(loaded.module, loaded.preprocess, np.stack(shown), labels, names)


def _view(picture: Image.Image, view: int) -> Image.Image:
    """The whole picture first, then crops of 70 to 95 % at random places, every second one reflected."""
    if view == 0:
        return picture
    generator = np.random.default_rng(view)
    width, height = (round(extent * generator.uniform(0.7, 0.95)) for extent in picture.size)
    left, top = generator.integers(picture.width - width + 1), generator.integers(picture.height - height + 1)
    crop = picture.crop((int(left), int(top), int(left) + width, int(top) + height))
    return ImageOps.mirror(crop) if view % 2 else crop


def _resized(picture: Image.Image, loaded: Loaded, resample: Image.Resampling) -> NDArray[np.uint8]:
    assert loaded.preprocess is not None
    assert loaded.preprocess.size is not None
    height, width = loaded.preprocess.size
    return np.asarray(picture.resize((width, height), resample))
