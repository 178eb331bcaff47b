"""The blocks that random networks are made of: what published networks are made of."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reliability.models.parts import CONVOLUTIONS, TRANSPOSED, Draw
from reliability.models.watching import Block

_MODES = ("linear", "bilinear", "trilinear")


def with_activation(block: Block, draw: Draw, name: str = "act") -> str:
    """Draw an activation function; as a module it becomes the block's child of that name."""
    drawn = draw.activation()
    if isinstance(drawn, str):
        return drawn
    block.add_module(name, drawn)
    return name


class Conv(Block):
    """Convolution, norm, activation, dropout; or norm and activation first."""

    def __init__(self, draw: Draw, out: int | None = None, *, stride: bool | None = None) -> None:
        super().__init__()
        rng = draw.rng
        self.out = out or draw.width()
        self.first = rng.random() < 0.25
        self.norm = draw.norm(draw.channels if self.first else self.out)
        self.conv = draw.conv(draw.channels, self.out, stride=rng.random() < 0.3 if stride is None else stride)
        self.dropout = draw.dropout()
        self.kind = with_activation(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        if self.first:
            x = self.activate(self.kind, self.run("norm", x.clone()))
            return self.run("dropout", self.run("conv", x))
        return self.run("dropout", self.activate(self.kind, self.run("norm", self.run("conv", x))))


class Stacked(Block):
    """The same in an ``nn.Sequential`` of modules alone."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.width()
        modules = [
            draw.conv(draw.channels, self.out, stride=True),
            draw.norm(self.out),
            nn.ReLU(draw.rng.random() < 0.5),
        ]
        self.body = nn.Sequential(*modules, nn.Sequential(draw.conv(self.out, self.out), nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        return self.run("body", x)


class Transposed(Block):
    """A transposed convolution that doubles the grid."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.width()
        self.up = TRANSPOSED[draw.rank - 1](draw.channels, self.out, draw.rng.choice((2, 3)), stride=2)
        self.kind = with_activation(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        return self.activate(self.kind, self.run("up", x))


class Pool(Block):
    """Pooling of some kind."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out, rank = draw.channels, f"{draw.rank}d"
        kind = draw.rng.choice(("max", "max", "average", "adaptive", "adaptive max", "ceil", "dilated", "power"))
        made: dict[str, Any] = {
            "max": lambda: getattr(nn, f"MaxPool{rank}")(2),
            "average": lambda: getattr(nn, f"AvgPool{rank}")(3, 2, 1),
            "adaptive": lambda: getattr(nn, f"AdaptiveAvgPool{rank}")(3),
            "adaptive max": lambda: getattr(nn, f"AdaptiveMaxPool{rank}")(3),
            "ceil": lambda: getattr(nn, f"MaxPool{rank}")(3, 2, ceil_mode=True, padding=1),
            "dilated": lambda: getattr(nn, f"MaxPool{rank}")(2, 1, dilation=2, padding=1),
            "power": lambda: nn.Sequential(nn.Softplus(), getattr(nn, f"LPPool{rank}")(2, 2)),
        }
        self.pool = made["average" if kind == "power" and draw.relus_only else kind]()

    def forward(self, x: Tensor) -> Tensor:
        return self.run("pool", x)


class Residual(Block):
    """A sum of what comes in and of convolutions of it, in place or not, the last norm in front or not."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.body = Conv(draw, draw.width(), stride=False)
        self.conv = draw.conv(self.body.out, self.out, size=3)
        self.norm = draw.norm(self.out)
        self.in_place = draw.rng.random() < 0.5
        self.kind = with_activation(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        result = self.run("norm", self.run("conv", self.run("body", x)))
        if self.in_place:
            result += x
        else:
            result = x + result
        return self.activate(self.kind, result)


class Dense(Block):
    """What comes in, and convolutions of all before, side by side."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels + 4
        self.one, self.two = draw.conv(draw.channels, 2), draw.conv(draw.channels + 2, 2)
        self.kind = with_activation(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        once = torch.cat([x, self.activate(self.kind, self.run("one", x))], 1)
        return torch.cat([once, self.activate(self.kind, self.run("two", once))], dim=1)


class Branches(Block):
    """Two ways of different dilation or scale, added."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.width()
        self.near = CONVOLUTIONS[draw.rank - 1](draw.channels, self.out, 3, padding=1)
        self.far = CONVOLUTIONS[draw.rank - 1](draw.channels, self.out, 3, padding=2, dilation=2)
        self.coarse, self.rank = draw.rng.random() < 0.4, draw.rank
        self.kind = with_activation(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        far = x
        if self.coarse:
            pooled = getattr(F, f"avg_pool{self.rank}d")(x, 2, ceil_mode=True)
            far = F.interpolate(pooled, x.shape[2:], mode=_MODES[self.rank - 1], align_corners=False)
        return self.activate(self.kind, self.run("near", x) + self.run("far", far))


class SqueezeExcite(Block):
    """Channels weighted by a network of their means."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.down, self.up = nn.Linear(draw.channels, 4), nn.Linear(4, draw.channels)
        self.kind = with_activation(self, draw)
        self.in_place = draw.rng.random() < 0.3

    def forward(self, x: Tensor) -> Tensor:
        gate = self.run("up", self.activate(self.kind, self.run("down", x.flatten(2).mean(2)))).sigmoid()
        gate = gate.reshape(*gate.shape, *[1] * (x.ndim - 2))
        return x.clone().mul_(gate) if self.in_place else x * gate


class Attention(Block):
    """Every position looks at every other, with a residual; tokens (N, L, C)."""

    laid_out: ClassVar[dict[str, str]] = {"norm": "tokens", "mix": "tokens", "out_": "tokens"}

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.norm = nn.LayerNorm(draw.channels)
        self.mix = nn.MultiheadAttention(draw.channels, 2, batch_first=True, dropout=draw.rng.choice((0.0, 0.2)))
        self.out_ = nn.Linear(draw.channels, draw.channels)
        self.weights = draw.rng.random() < 0.5

    def forward(self, x: Tensor) -> Tensor:
        grid = tuple(x.shape[2:])
        tokens = self.run("norm", x.flatten(2).transpose(1, 2), grid=grid)
        mixed = self.run("mix", tokens, tokens, tokens, None, self.weights, grid=grid)[0]
        return x + self.run("out_", mixed, grid=grid).transpose(1, 2).reshape(x.shape)


class Scaled(Block):
    """Attention by torch's own function, on queries, keys and values of a 1×1 convolution."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.qkv = CONVOLUTIONS[draw.rank - 1](draw.channels, 3 * draw.channels, 1)
        self.by_hand = draw.rng.random() < 0.5

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.flatten(2).transpose(1, 2) for part in self.run("qkv", x).chunk(3, dim=1))
        if self.by_hand:
            mixed = ((q @ k.transpose(1, 2)) / q.shape[-1] ** 0.5).softmax(-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        return x + mixed.transpose(1, 2).reshape(x.shape)


class Encoder(Block):
    """A whole encoder layer of torch, which has a fast path of its own without gradients."""

    laid_out: ClassVar[dict[str, str]] = {"encoder": "tokens"}
    opaque: ClassVar[bool] = True

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.encoder = nn.TransformerEncoderLayer(draw.channels, 2, 8, draw.rng.choice((0.0, 0.2)), batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.run("encoder", x.flatten(2).transpose(1, 2), grid=tuple(x.shape[2:]))
        return tokens.transpose(1, 2).reshape(x.shape)


class Recurrent(Block):
    """A recurrent layer along the positions, which returns a tuple."""

    laid_out: ClassVar[dict[str, str]] = {"along": "tokens"}

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = 6
        kind: Any = draw.rng.choice((nn.GRU, nn.LSTM))
        self.along = kind(draw.channels, 3, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.run("along", x.flatten(2).transpose(1, 2), grid=tuple(x.shape[2:]))[0]
        return tokens.transpose(1, 2).reshape(len(x), 6, *x.shape[2:])


class ChannelsLast(Block):
    """A block whose layers work on (N, *S, C)."""

    laid_out: ClassVar[dict[str, str]] = {"norm": "last", "wide": "last", "narrow": "last"}

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        self.depthwise = CONVOLUTIONS[draw.rank - 1](draw.channels, draw.channels, 3, padding=1, groups=draw.channels)
        self.norm = nn.LayerNorm(draw.channels)
        self.wide, self.narrow = nn.Linear(draw.channels, 8), nn.Linear(8, draw.channels)
        self.kind = with_activation(self, draw)

    def forward(self, x: Tensor) -> Tensor:
        inside = self.run("norm", self.run("depthwise", x).movedim(1, -1))
        inside = self.run("narrow", self.activate(self.kind, self.run("wide", inside)))
        return x + inside.movedim(-1, 1)


class Resize(Block):
    """The grid made finer, or padded."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.out = draw.channels
        modes = ("nearest", _MODES[draw.rank - 1], "pad", "crop")
        self.mode, self.rank = draw.rng.choice(modes), draw.rank
        if self.mode in modes[:2]:
            self.up = nn.Upsample(scale_factor=1.5, mode=self.mode)
        self.conv = draw.conv(draw.channels, draw.channels)

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "pad":
            x = F.pad(x, (1, 2) * self.rank, mode="constant", value=0.5)
        elif self.mode == "crop":
            x = x[..., 1:]
        else:
            x = self.run("up", x)
        return self.run("conv", x)


BLOCKS: tuple[Any, ...] = (
    Conv, Conv, Conv, Stacked, Transposed, Pool, Pool, Residual, Residual, Dense, Branches, SqueezeExcite, Attention,
    Scaled, Encoder, Recurrent, ChannelsLast, Resize,
)  # fmt: skip
