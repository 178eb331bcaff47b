"""Small float64 networks, each with one habit that a capture must cope with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

CLASSES = 5
CHANNELS = 4


def images(samples: int = 2) -> Tensor:
    return torch.randn(samples, 3, 8, 8, dtype=torch.float64)


def conv(channels: int = CHANNELS) -> nn.Conv2d:
    return nn.Conv2d(3 if channels == CHANNELS else CHANNELS, channels, 3, padding=1).double()


def head() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * 64, 8), nn.Tanh(), nn.Linear(8, CLASSES)).double()


def sequential(*middle: nn.Module) -> nn.Sequential:
    """Layers "0" (convolution) and "1" (ReLU), the middle from "2" on, then a head with a curvature."""
    return nn.Sequential(conv(), nn.ReLU(), *middle, head()).double()


class Apply(nn.Module):
    """A module of a function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Tensor) -> Any:
        return self.function(*args)


class Wired(nn.Module):
    """A convolution ``layer`` and a ``head``, joined by a function (model, x) -> scores."""

    def __init__(self, wiring: Callable[["Wired", Tensor], Any], **parts: nn.Module) -> None:
        super().__init__()
        self.layer = conv()
        self.head = head()
        for name, part in parts.items():
            self.add_module(name, part)
        self.wiring = wiring

    def forward(self, x: Tensor) -> Any:
        return self.wiring(self, x)


class Block(nn.Module):
    """Encloses a layer; runs a function (block, x)."""

    def __init__(self, body: Callable[["Block", Tensor], Any]) -> None:
        super().__init__()
        self.layer = conv()
        self.body = body

    def forward(self, x: Tensor) -> Any:
        return self.body(self, x)


@dataclass
class Output:
    """What a model or a layer may return."""

    tensor: Tensor
    other: Tensor | None = None
