"""CNN-1, the classifier of subtomograms that Respond-CAM was shown on."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def cnn1(classes: int = 23, width: int = 32, hidden: int = 512, side: int = 40) -> nn.Sequential:
    """Build CNN-1: two blocks of two 3³ convolutions, each halved by a max-pool, then three dense layers.

    Parameters
    ----------
    classes
        Length of the output.
    width
        Channels of the first block; the second has twice as many.
    hidden
        Length of both hidden dense layers.
    side
        Edge of the cubic window in voxels, a multiple of 4.

    Returns
    -------
    Sequential
        (N, 1, side, side, side) -> (N, classes) scores before softmax. The layer to explain is ``maxpool2``:
        (N, 2 width, side/4, side/4, side/4), one cell for 4 voxels.

    Raises
    ------
    ValueError
        If ``side`` is not a positive multiple of 4.

    References
    ----------
    Zhao et al. 2018, Respond-CAM, section 3 (defaults: 33,237,559 parameters).

    Examples
    --------
    >>> model = camfast.models.cnn1(classes=3, width=2, hidden=8, side=16)
    >>> model(torch.zeros(1, 1, 16, 16, 16)).shape
    torch.Size([1, 3])
    """
    return nn.Sequential(subtomogram_layers(classes, width, hidden, side, pool=1))


def subtomogram_layers(classes: int, width: int, hidden: int, side: int, *, pool: int) -> "OrderedDict[str, nn.Module]":
    """Name the layers of CNN-1 in their order, behind an average-pool where ``pool`` exceeds 1."""
    if side <= 0 or side % (4 * pool):
        raise ValueError(f"side must be a positive multiple of {4 * pool}, not {side}")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if pool > 1:
        layers["avgpool"] = nn.AvgPool3d(pool)
    channels = [1, width, width, 2 * width, 2 * width]
    for block in (1, 2):
        for index in (2 * block - 1, 2 * block):
            layers[f"conv{index}"] = nn.Conv3d(channels[index - 1], channels[index], 3, padding=1)
            layers[f"relu{index}"] = nn.ReLU()
        layers[f"maxpool{block}"] = nn.MaxPool3d(2)
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = nn.Linear(2 * width * (side // (4 * pool)) ** 3, hidden)
    layers["relu5"] = nn.ReLU()
    layers["fc2"] = nn.Linear(hidden, hidden)
    layers["relu6"] = nn.ReLU()
    layers["fc3"] = nn.Linear(hidden, classes)
    return layers


def arguments_of(state: Mapping[str, Tensor], pool: int = 1) -> dict[str, Any]:
    """Read the arguments of `cnn1` off the shapes of its state dict."""
    width, hidden = state["conv1.weight"].shape[0], state["fc1.weight"].shape[0]
    cells = state["fc1.weight"].shape[1] / (2 * width)
    return {
        "classes": state["fc3.weight"].shape[0],
        "width": width,
        "hidden": hidden,
        "side": 4 * pool * round(cells ** (1 / 3)),
    }
