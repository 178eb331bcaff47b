"""What random networks end with: scores of classes, one number, scores of every position; and what they return."""

from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reliability.models.blocks import with_activation
from reliability.models.habits import Returned
from reliability.models.parts import CONVOLUTIONS, Draw
from reliability.models.watching import Block

CLASSES = 4


class Pooled(Block):
    """A global average and a linear layer, as modules."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.pool = getattr(nn, f"AdaptiveAvgPool{draw.rank}d")(1)
        self.classify = nn.Linear(draw.channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.run("classify", self.run("pool", x).flatten(1))


class Mean(Block):
    """A global average and a linear layer, written as functions, with a dropout between them."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.classify = nn.Linear(draw.channels, CLASSES, bias=draw.rng.random() < 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.dropout(x.flatten(2).mean(-1), 0.2, self.training), self.classify.weight, self.classify.bias)


class Pointwise(Block):
    """A 1×1 convolution in front of the average."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.classify = CONVOLUTIONS[draw.rank - 1](draw.channels, CLASSES, 1)
        self.rectified = draw.rng.random() < 0.4

    def forward(self, x: Tensor) -> Tensor:
        scores = self.run("classify", x)
        return (self.activate("F.relu", scores) if self.rectified else scores).mean(tuple(range(2, x.ndim)))


class Layers(Block):
    """Two linear layers of a small grid."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.pool = getattr(nn, f"AdaptiveAvgPool{draw.rank}d")(2)
        self.hidden = nn.Linear(draw.channels * 2**draw.rank, 8)
        self.drop = nn.Dropout(0.3)
        self.classify = nn.Linear(8, CLASSES)
        self.kind = with_activation(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.activate(self.kind, self.run("hidden", self.run("pool", x).flatten(1)))
        return self.run("classify", self.run("drop", inside))


class Strongest(Block):
    """The largest value of each channel, and the cosine to each class."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(CLASSES, draw.channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x.flatten(2).amax(2) + 0.1, dim=1) @ F.normalize(self.prototypes, dim=1).T * 5


class Token(Block):
    """A token of its own that looks at every position, and probabilities' logarithms."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, draw.channels))
        self.look = nn.MultiheadAttention(draw.channels, 2, batch_first=True)
        self.classify = nn.Linear(draw.channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        seen = self.look(self.token.expand(len(x), -1, -1), tokens, tokens)[0]
        return self.run("classify", seen[:, 0]).log_softmax(1)


class Number(Block):
    """One number a sample, (N,)."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.hidden, self.one = nn.Linear(draw.channels, 6), nn.Linear(6, 1)
        self.kind = with_activation(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        return self.run("one", self.activate(self.kind, self.run("hidden", x.flatten(2).mean(2))))[:, 0]


class Positions(Block):
    """Scores of every position, (N, C, *S), upsampled or not."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.conv = CONVOLUTIONS[draw.rank - 1](draw.channels, 6, 3, padding=1)
        self.classify = CONVOLUTIONS[draw.rank - 1](6, CLASSES, 1)
        self.kind = with_activation(self, draw)
        self.finer = draw.rng.random() < 0.5

    def forward(self, x: Tensor) -> Tensor:
        scores = self.run("classify", self.activate(self.kind, self.run("conv", x)))
        return F.interpolate(scores, scale_factor=2.0) if self.finer else scores


HEADS: tuple[Any, ...] = (
    Pooled, Pooled, Mean, Mean, Pointwise, Layers, Layers, Strongest, Token, Number, Positions, Positions,
)  # fmt: skip
_WRAPPINGS: dict[str, Any] = {
    "tensor": lambda scores, _: scores,
    "dict": lambda scores, features: {"main": scores, "features": features},
    "tuple": lambda scores, features: (scores, features.mean()),
    "dataclass": lambda scores, features: Returned(scores, [features]),
}


def returned(how: str, scores: Tensor, features: Tensor) -> Any:
    """What a network returns."""
    return _WRAPPINGS[how](scores, features)


def a_wrapping(rng: Random) -> str:
    """How a network returns its scores."""
    return rng.choice(("tensor", "tensor", "tensor", *_WRAPPINGS))
