"""Blocks with habits that make trouble: shared layers, writing in place, own modes of gradients, odd returns."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from reliability.models.blocks import Conv, with_activation
from reliability.models.parts import Draw
from reliability.models.watching import Block


@dataclass
class Returned:
    """What a layer may return."""

    main: Any
    other: Any = None


class Shared(Block):
    """One convolution called two or three times: in turn, or on the image and its mirror image; under two names."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.conv = draw.conv(draw.channels, draw.channels, size=3)
        self.other = self.conv
        self.calls, self.mirrored = draw.rng.choice((2, 3)), draw.rng.random() < 0.4
        self.kind = with_activation(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        if self.mirrored:
            return self.activate(self.kind, self.run("conv", x) + self.run("other", x.flip(-1)).flip(-1))
        for _ in range(self.calls):
            x = self.activate(self.kind, self.run("conv", x))
        return x


class InPlace(Block):
    """Writes into what a layer returned, one way or another."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.conv = draw.conv(draw.channels, draw.channels)
        self.how = draw.rng.choice(("mul_", "add_", "slice", "masked_fill_", "sigmoid_", "half", "input", "tanh_"))

    def forward(self, x: Tensor) -> Tensor:
        result = self.run("conv", x)
        if self.how == "mul_":
            result.mul_(1.5)
        elif self.how == "add_":
            result.add_(x)
        elif self.how == "slice":
            result[:, :1] = 0.1
        elif self.how == "masked_fill_":
            result.masked_fill_(result < -0.5, -0.5)
        elif self.how == "sigmoid_":
            result.sigmoid_()
        elif self.how == "tanh_":
            result.tanh_()
        elif self.how == "half":
            result[:, ::2].mul_(0.5)
        else:
            x = x * 1
            x += result
            result = x
        return result


class BeforeTheSum(Block):
    """Rectifies its own input in place, and adds that to what it makes of it."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.first = draw.conv(draw.channels, draw.channels)
        self.act = nn.ReLU(inplace=True)
        self.conv = draw.conv(draw.channels, draw.channels, size=3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.run("first", x)
        return self.run("conv", self.run("act", x)) + x


class Halves(Block):
    """One half of the channels goes through a convolution, and is written back into the whole."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.half = draw.channels // 2
        self.conv = draw.conv(self.half, self.half, size=3)
        self.in_place = draw.rng.random() < 0.5

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        left, right = x[:, : self.half], x[:, self.half :]
        made = self.run("conv", left * 1)
        if self.in_place:
            left.copy_(made)
            return x
        return torch.cat([right, made], 1)


class Gate(Block):
    """What comes in, times what a layer makes of it; with a part that is detached or made without gradients."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.conv = draw.conv(draw.channels, draw.channels)
        self.how = draw.rng.choice(("plain", "detached", "no_grad", "set_grad_enabled", "where"))

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "no_grad":
            with torch.no_grad():
                scale = x.abs().mean().clamp(min=0.1)
            return self.run("conv", x) / scale
        if self.how == "set_grad_enabled":
            before = torch.is_grad_enabled()
            result = self.run("conv", x)
            with torch.set_grad_enabled(before):
                return result * 0.5
        gate = self.run("conv", x)
        if self.how == "where":
            return torch.where(gate > 0, x, gate)
        return x * (gate.detach() if self.how == "detached" else gate).sigmoid()


class Dropping(Block):
    """Dropout as a function, and as a module in front of a residual."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.drop = draw.rng.choice((nn.Dropout(0.4), nn.AlphaDropout(0.2), nn.Dropout(0.4, inplace=True)))
        self.conv = draw.conv(draw.channels, draw.channels, size=3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(x, 0.2, self.training)
        return x + self.run("conv", self.run("drop", x * 1))


class HandedThrough(Block):
    """A layer that returns its very input, which is used again."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.same = draw.rng.choice((nn.Identity(), nn.Sequential(), nn.Flatten(2, 2)))
        self.conv = draw.conv(draw.channels, draw.channels, size=3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.run("conv", self.run("same", x))


class Unpooled(Block):
    """Max-pooling whose switches put the values back: a layer that returns a tuple."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.pool = getattr(nn, f"MaxPool{draw.rank}d")(2, return_indices=True)
        self.unpool = getattr(nn, f"MaxUnpool{draw.rank}d")(2)

    def forward(self, x: Tensor) -> Tensor:
        size = tuple(x.shape)
        pooled, switches = self.run("pool", x)
        return self.run("unpool", pooled, switches, size)


class Holding(Block):
    """Holds a part that returns a dict, a tuple or a dataclass."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.part = _Odd(draw)

    def forward(self, x: Tensor) -> Tensor:
        result = self.run("part", x)
        if isinstance(result, dict):
            return result["main"] + result["other"]
        if isinstance(result, tuple):
            return result[0] + result[1][0]
        return result.main + result.other


class _Odd(Block):
    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.conv = draw.conv(draw.channels, draw.channels)
        self.how = draw.rng.choice(("dict", "tuple", "dataclass"))

    def forward(self, x: Tensor) -> Any:
        made = self.run("conv", x)
        if self.how == "dict":
            return {"main": made.tanh(), "other": x}
        return (made.tanh(), [x, 3]) if self.how == "tuple" else Returned(made.tanh(), x)


class Checkpointed(Block):
    """A block that is computed again on the way back."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.body = Conv(draw, stride=False)
        self.out = self.body.out

    def forward(self, x: Tensor) -> Tensor:
        if self.watch is not None:
            return self.run("body", x)
        return checkpoint(self.body, x, use_reentrant=False)


class Parametrized(Block):
    """A convolution whose weight is made of other parameters when it is used; in training its buffers change."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.width()
        normed = draw.rng.choice((nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm))
        self.conv = normed(draw.conv(draw.channels, self.out, size=3))

    def forward(self, x: Tensor) -> Tensor:
        return self.run("conv", x)


class Spectral(Block):
    """Filters in Fourier space, with complex numbers on the way."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.scale = nn.Parameter(torch.rand(draw.channels, *[1] * draw.rank))
        self.act = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(2, x.ndim))
        filtered = torch.fft.irfftn(torch.fft.rfftn(x, dim=axes) * self.scale, s=x.shape[2:], dim=axes)
        return x + self.run("act", filtered)


class Counting(Block):
    """Counts its calls and keeps a running mean in buffers, in evaluation too."""

    laid_out: ClassVar[dict[str, str]] = {}

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.conv = draw.conv(draw.channels, draw.channels)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("level", torch.zeros(draw.channels, *[1] * draw.rank))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.level = 0.9 * self.level + 0.1 * x.detach().mean((0, *range(2, x.ndim))).reshape(self.level.shape)
        return self.run("conv", x - self.level) / self.calls


HABITS: tuple[Any, ...] = (
    Shared, Shared, Shared, InPlace, InPlace, InPlace, BeforeTheSum, Halves, Gate, Gate, Dropping, HandedThrough,
    Unpooled, Holding, Checkpointed, Parametrized, Spectral, Counting,
)  # fmt: skip
