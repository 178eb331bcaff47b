"""What blocks are made of, each drawn by a `random.Random`: layers of one to three axes, norms, activations."""

from dataclasses import dataclass
from random import Random
from typing import Any

from torch import nn

from reliability.models.watching import OTHERS, RELUS

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_BATCH = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_DROPOUT = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


@dataclass(frozen=True)
class Draw:
    """What a block is drawn with.

    Attributes
    ----------
    rng
        Draws.
    rank
        Spatial axes.
    channels
        Of the block's input.
    relus_only
        Whether every activation is a ReLU, in whatever form.
    """

    rng: Random
    rank: int
    channels: int
    relus_only: bool

    def width(self) -> int:
        """A number of channels."""
        return self.rng.choice((4, 6, 8))

    def conv(self, channels: int, out: int, *, stride: bool = False, size: int | None = None) -> nn.Module:
        """A convolution that keeps the grid, or halves it."""
        kernel = size or self.rng.choice((1, 3, 3, 3))
        dilation = self.rng.choice((1, 1, 2)) if kernel == 3 else 1
        groups = 2 if channels % 2 == 0 and out % 2 == 0 and self.rng.random() < 0.25 else 1
        mode = self.rng.choice(("zeros", "zeros", "zeros", "replicate", "circular"))
        return CONVOLUTIONS[self.rank - 1](
            channels, out, kernel, padding=dilation * (kernel // 2), dilation=dilation, groups=groups,
            stride=2 if stride and kernel == 3 else 1, bias=self.rng.random() < 0.7, padding_mode=mode,
        )  # fmt: skip

    def norm(self, channels: int) -> nn.Module:
        """A normalisation, or none."""
        batch = _BATCH[self.rank - 1]
        kinds: tuple[Any, ...] = (
            lambda: batch(channels),
            lambda: batch(channels),
            lambda: batch(channels, affine=False, track_running_stats=False),
            lambda: nn.GroupNorm(2 - channels % 2, channels),
            # an instance norm; the one of torch 2.13 has a wrong derivative for gradients laid out as (*S, N, C)
            lambda: nn.GroupNorm(channels, channels),
            lambda: nn.LocalResponseNorm(3),
            nn.Identity,
            nn.Identity,
        )
        return self.rng.choice(kinds)()

    def activation(self) -> str | nn.Module:
        """An activation function, as a module or the name of a function."""
        own: Any = [lambda: nn.ReLU(), lambda: nn.ReLU(inplace=True), lambda: nn.Threshold(0, 0)]
        if self.relus_only or self.rng.random() < 0.6:
            return self._one(own, RELUS)
        others: Any = [
            lambda: nn.LeakyReLU(0.1), lambda: nn.LeakyReLU(0.1, inplace=True), nn.PReLU, nn.ELU,
            lambda: nn.ELU(inplace=True), nn.SELU, nn.CELU, nn.SiLU, nn.GELU, nn.Softplus, nn.ReLU6, nn.Hardswish,
            nn.Mish,
        ]  # fmt: skip
        return self._one(others, OTHERS)

    def _one(self, modules: Any, functions: Any) -> str | nn.Module:
        return self.rng.choice(list(modules))() if self.rng.random() < 0.5 else self.rng.choice(list(functions))

    def dropout(self) -> nn.Module:
        """A dropout of some kind, or none."""
        own = _DROPOUT[self.rank - 1]
        kinds: Any = (lambda: nn.Dropout(0.3), lambda: nn.Dropout(0.3, inplace=True), lambda: own(0.3), nn.Identity)
        return self.rng.choice(kinds)()
