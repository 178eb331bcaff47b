"""SqueezeNet v1.0, an ImageNet classifier of 1.2 million parameters."""

from collections import OrderedDict

import torch
from torch import Tensor, nn


class Fire(nn.Module):
    """Squeeze to few channels, expand by 1×1 and 3×3 convolutions: (N, C, H, W) -> (N, 2 E, H, W)."""

    def __init__(self, channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified expansions, the 1×1 channels first."""
        squeezed = torch.relu(self.squeeze1x1(x))
        return torch.relu(torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1))


def squeezenet1_0(classes: int = 1000) -> nn.Sequential:
    """Build SqueezeNet v1.0 as Caffe ran it: pools of 3 with stride 2 in ceil mode, ``conv10`` padded by 1.

    Parameters
    ----------
    classes
        Length of the output.

    Returns
    -------
    Sequential
        (N, 3, H, W) -> (N, classes) scores before softmax. The layer to explain is ``fire9``: (N, 512, h, w),
        13×13 for 227×227 pixels.

    References
    ----------
    Iandola et al. 2016, SqueezeNet.

    Examples
    --------
    >>> camfast.models.squeezenet1_0(classes=5)(torch.zeros(1, 3, 63, 63)).shape
    torch.Size([1, 5])
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Conv2d(3, 96, 7, stride=2)
    layers["relu1"] = nn.ReLU()
    channels = 96
    for index, squeeze, expand in (
        (2, 16, 64), (3, 16, 64), (4, 32, 128), (5, 32, 128),
        (6, 48, 192), (7, 48, 192), (8, 64, 256), (9, 64, 256),
    ):  # fmt: skip
        if index in (2, 5, 9):
            layers[f"pool{index - 1}"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        layers[f"fire{index}"] = Fire(channels, squeeze, expand)
        channels = 2 * expand
    layers["dropout9"] = nn.Dropout(0.5)
    layers["conv10"] = nn.Conv2d(channels, classes, 1, padding=1)
    layers["relu10"] = nn.ReLU()
    layers["pool10"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    return nn.Sequential(layers)


def from_caffe_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate Caffe's ``fire2__squeeze1x1.weight`` to ``fire2.squeeze1x1.weight``; other keys stay."""
    return {key.replace("__", "."): value for key, value in state.items()}
