"""The networks that explanations are measured on, each with the layer that its paper explains."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import camfast

DATA = Path(os.environ.get("CAMFAST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@dataclass(frozen=True)
class Network:
    """A network, the layer that is explained, and what it takes.

    Attributes
    ----------
    name
        As it stands in tables.
    build
        Makes the network in evaluation mode.
    layer
        Dotted name of the explained layer.
    sample
        (C, *S) of one input.
    batches
        Numbers of inputs that are measured.
    sigma
        σ of the Gaussian upsampling in pixels: three quarters of a cell.
    region
        Whether the scores of a region are explained, because the network segments.
    """

    name: str
    build: Callable[[], nn.Module]
    layer: str
    sample: tuple[int, ...]
    batches: tuple[int, ...]
    sigma: float
    region: bool = False

    def model(self) -> nn.Module:
        """The network, the same each time."""
        torch.manual_seed(0)
        return self.build().eval().requires_grad_(True)

    def inputs(self, batch: int) -> Tensor:
        """Noise: what a network computes on it takes as long."""
        return torch.randn(batch, *self.sample, generator=torch.Generator().manual_seed(1))

    def target(self, scores: Tensor) -> Any:
        """What is explained: the class of the largest score in each sample, or a region of a class."""
        if self.region:
            return camfast.Region(0, "image")  # with these weights a class whose map isn't 0
        return scores.detach().flatten(1).argmax(1)


class _Basic(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al. 2016, figure 5 left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(inputs, width, 3, stride), nn.ReLU(True), *_convolution(width, width, 3)
        )
        self.shortcut = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.body(x) + self.shortcut(x))


class _Bottleneck(nn.Module):
    """A 3×3 convolution between two of 1×1, beside a shortcut (He et al. 2016, figure 5 right)."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(inputs, width, 1), nn.ReLU(True), *_convolution(width, width, 3, stride), nn.ReLU(True),
            *_convolution(width, 4 * width, 1),
        )  # fmt: skip
        self.shortcut = _shortcut(inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.body(x) + self.shortcut(x))


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(*_convolution(inputs, outputs, 1, stride))


def _resnet(block: type[_Basic] | type[_Bottleneck], depths: tuple[int, ...]) -> nn.Sequential:
    stages: list[nn.Module] = [*_convolution(3, 64, 7, 2), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for index in range(depth):
            stages.append(block(inputs, width, 2 if stage and not index else 1))
            inputs = width * block.expansion
    return nn.Sequential(
        *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000)
    )  # fmt: skip


def resnet18() -> nn.Sequential:
    """A network of the shape of ResNet-18 (He et al. 2016, table 1), random weights; its last block is ``"11"``."""
    return _resnet(_Basic, (2, 2, 2, 2))


def resnet50() -> nn.Sequential:
    """A network of the shape of ResNet-50 (He et al. 2016, table 1), random weights; its last block is ``"19"``."""
    return _resnet(_Bottleneck, (3, 4, 6, 3))


def vgg16() -> nn.Sequential:
    """VGG-16 (Simonyan & Zisserman 2015, table 1 D), random weights; its last convolution's ReLU is ``"29"``."""
    layers: list[nn.Module] = []
    inputs = 3
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(True)]
            inputs = width
        layers.append(nn.MaxPool2d(2))
    layers += [nn.Flatten(), nn.Linear(512 * 7 * 7, 4096), nn.ReLU(True), nn.Dropout()]
    layers += [nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 1000)]
    return nn.Sequential(*layers)


def _squeezenet() -> nn.Module:
    """SqueezeNet, trained where the data folder is there: with random weights every score may be 0."""
    weights = DATA / "imagenet" / "squeezenet1_0.safetensors"
    return camfast.models.load("squeezenet1_0", weights if weights.is_file() else None).module


NETWORKS = (
    Network("CNN-1", camfast.models.cnn1, "maxpool2", (1, 40, 40, 40), (1, 8), 3.0),
    Network("CNN-2", camfast.models.cnn2, "maxpool2", (1, 40, 40, 40), (8,), 6.0),
    Network("SqueezeNet", _squeezenet, "fire9", (3, 227, 227), (1, 16), 13.0),
    Network("ResNet-20", camfast.models.resnet20, "layer3", (3, 32, 32), (64,), 3.0),
    Network("ResNet-18", resnet18, "11", (3, 224, 224), (1, 16), 24.0),
    Network("ResNet-50", resnet50, "19", (3, 224, 224), (1, 16), 24.0),
    Network("VGG-16", vgg16, "29", (3, 224, 224), (1,), 12.0),
    Network("MeshNet", camfast.models.meshnet, "activation9", (1, 64, 64, 64), (1,), 2.0, region=True),
)


def named(name: str) -> Network:
    """The network of a name, in small letters with or without its hyphen.

    Raises
    ------
    ValueError
        If there is none; the message lists those there are.
    """
    for network in NETWORKS:
        if network.name.lower().replace("-", "") == name.lower().replace("-", ""):
            return network
    raise ValueError(f"unknown network {name!r}: known are {', '.join(network.name for network in NETWORKS)}")
