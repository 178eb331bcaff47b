"""CNN-2: CNN-1 behind an average-pool, eight times less work."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from camfast.models.architectures import cnn1


def cnn2(classes: int = 23, width: int = 32, hidden: int = 512, side: int = 40) -> nn.Sequential:
    """Build CNN-2: the layers of CNN-1 behind a 2³ average-pool.

    Parameters
    ----------
    classes, width, hidden
        As for `cnn1`.
    side
        Edge of the cubic window in voxels, a multiple of 8.

    Returns
    -------
    Sequential
        (N, 1, side, side, side) -> (N, classes) scores before softmax. The layer to explain is ``maxpool2``:
        (N, 2 width, side/8, side/8, side/8), one cell for 8 voxels.

    Raises
    ------
    ValueError
        If ``side`` is not a positive multiple of 8.

    References
    ----------
    Zhao et al. 2018, Respond-CAM, section 3 (defaults: 4,565,559 parameters).

    Examples
    --------
    >>> sum(parameter.numel() for parameter in camfast.models.cnn2().parameters())
    4565559
    """
    return nn.Sequential(cnn1.subtomogram_layers(classes, width, hidden, side, pool=2))


def arguments_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read the arguments of `cnn2` off the shapes of its state dict."""
    return cnn1.arguments_of(state, pool=2)
