"""ResNet-20 for 32×32 pixels, with shortcuts that hold no parameters."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut: (N, C, H, W) -> (N, channels, H/stride, W/stride)."""

    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.padding = (channels - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Add the shortcut (option A: every stride-th pixel, new channels zero on both sides) and rectify."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        return F.relu(out + F.pad(shortcut, (0, 0, 0, 0, self.padding, self.padding)))


class ResNet20(nn.Module):
    """Three stages of three blocks, global average pooling and one dense layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, stride=1)
        self.layer2 = _stage(16, 32, stride=2)
        self.layer3 = _stage(32, 64, stride=2)
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores before softmax, (N, classes)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        scores: Tensor = self.linear(x.mean(dim=(2, 3)))
        return scores


def _stage(inputs: int, channels: int, stride: int) -> nn.Sequential:
    blocks = [(inputs, stride), (channels, 1), (channels, 1)]
    return nn.Sequential(OrderedDict((str(index), BasicBlock(c, channels, s)) for index, (c, s) in enumerate(blocks)))


def resnet20(classes: int = 10) -> ResNet20:
    """Build the CIFAR-10 ResNet of 20 layers with option-A shortcuts.

    Parameters
    ----------
    classes
        Length of the output.

    Returns
    -------
    ResNet20
        (N, 3, 32, 32) -> (N, classes) scores before softmax. The layer to explain is ``layer3``:
        (N, 64, 8, 8).

    References
    ----------
    He et al. 2015, Deep residual learning, section 4.2 (269,722 parameters).

    Examples
    --------
    >>> camfast.models.resnet20()(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    return ResNet20(classes)
