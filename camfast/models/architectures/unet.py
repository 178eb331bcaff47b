"""A plain U-Net in two or three dimensions."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UNet(nn.Module):
    """Encoder, bottleneck and decoder with skips, twice the channels at each level down."""

    def __init__(self, dimensions: int, channels: int, classes: int, width: int, depth: int) -> None:
        super().__init__()
        convolution, pool, transposed = (
            (nn.Conv2d, nn.MaxPool2d, nn.ConvTranspose2d)
            if dimensions == 2
            else (nn.Conv3d, nn.MaxPool3d, nn.ConvTranspose3d)
        )

        def block(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                convolution(inputs, outputs, 3, padding=1), nn.ReLU(),
                convolution(outputs, outputs, 3, padding=1), nn.ReLU(),
            )  # fmt: skip

        widths = [width * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(block(a, b) for a, b in pairwise([channels, *widths[:-1]]))
        self.pool = pool(2)
        self.bottleneck = block(widths[-2], widths[-1])
        upper, lower = widths[-2::-1], widths[:0:-1]
        self.up = nn.ModuleList(transposed(b, a, 2, stride=2) for a, b in zip(upper, lower, strict=True))
        self.decoder = nn.ModuleList(block(2 * a, a) for a in upper)
        self.classify = convolution(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores before softmax at the input's size, whatever its remainder by 2^depth."""
        skips = []
        for encode in self.encoder:
            skips.append(encode(x))
            x = self.pool(skips[-1])
        x = self.bottleneck(x)
        for up, decode in zip(self.up, self.decoder, strict=True):
            skip = skips.pop()
            x = up(x)
            missing = [want - have for want, have in zip(skip.shape[2:], x.shape[2:], strict=True)]
            x = F.pad(x, [amount for axis in reversed(missing) for amount in (0, axis)])
            x = decode(torch.cat([skip, x], dim=1))
        scores: Tensor = self.classify(x)
        return scores


def unet(dimensions: int = 2, channels: int = 1, classes: int = 2, width: int = 16, depth: int = 3) -> UNet:
    """Build a U-Net: two rectified convolutions a level, max-pools down, transposed convolutions up.

    Parameters
    ----------
    dimensions
        2 or 3.
    channels, classes
        Channels of the input and of the output.
    width
        Channels of the top level; level k has width · 2^k.
    depth
        Number of halvings, 1 to 32; every spatial axis must have 2^depth pixels or more.

    Returns
    -------
    UNet
        (N, channels, *S) -> (N, classes, *S) scores before softmax. Layers to explain are ``bottleneck``:
        (N, width · 2^depth, *S / 2^depth), and the levels ``decoder.0`` (deepest) ... of
        the decoder.

    Raises
    ------
    ValueError
        If ``dimensions`` is neither 2 nor 3, another argument is below 1, or ``depth`` above 32.

    References
    ----------
    Ronneberger et al. 2015, U-Net (padded convolutions instead of cropped skips).

    Examples
    --------
    >>> camfast.models.unet(dimensions=3, classes=4, width=2, depth=2)(torch.zeros(1, 1, 8, 9, 10)).shape
    torch.Size([1, 4, 8, 9, 10])
    """
    if dimensions not in (2, 3):
        raise ValueError(f"dimensions must be 2 or 3, not {dimensions!r}")
    if not 1 <= depth <= 32:
        raise ValueError(f"depth must be from 1 to 32, not {depth}")
    if min(channels, classes, width) < 1:
        raise ValueError(f"channels, classes and width must be at least 1, not {(channels, classes, width)}")
    return UNet(dimensions, channels, classes, width, depth)


def arguments_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the arguments of `unet` off the shapes of its state dict."""
    first = state["encoder.0.0.weight"].shape
    return {
        "dimensions": len(first) - 2,
        "channels": first[1],
        "classes": state["classify.weight"].shape[0],
        "width": first[0],
        "depth": len({key.split(".")[1] for key in state if key.startswith("encoder.")}),
    }
