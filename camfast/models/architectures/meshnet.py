"""MeshNet, a 3-D segmenter of dilated convolutions at full resolution."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

_ACTIVATIONS: dict[str, type[nn.Module]] = {"elu": nn.ELU, "relu": nn.ReLU}
_MOST_LAYERS = 1000
DILATIONS = (1, 2, 4, 8, 16, 8, 4, 2, 1)


def meshnet(
    channels: int = 5,
    classes: int = 3,
    activation: str = "elu",
    layers: Sequence[Mapping[str, Any]] | None = None,
) -> nn.Sequential:
    """Build MeshNet: nine dilated 3³ convolutions, each with its activation, and a 1³ one to the classes.

    Parameters
    ----------
    channels
        Channels of every hidden layer.
    classes
        Channels of the output.
    activation
        ``"elu"`` or ``"relu"``; weights alone cannot tell which one they were trained with.
    layers
        A list that overrides both dilations and activations, in order: ``{"op": "conv3d", "name": "conv1",
        "kernel": [3, 3, 3], "dilation": [1, 1, 1]}``, ``{"op": "elu"}``, ``{"op": "relu"}``.

    Returns
    -------
    Sequential
        (N, 1, D, H, W) -> (N, classes, D, H, W) scores before softmax. The convolutions are ``conv1`` ...
        ``conv10``; the layer to explain is ``activation9``: (N, channels, D, H, W).

    Raises
    ------
    ValueError
        If an activation or an operation of ``layers`` is unknown, or ``layers`` has no convolution or more than 1000
        entries.

    References
    ----------
    Fedorov et al. 2017, End-to-end learning of brain tissue segmentation.

    Examples
    --------
    >>> camfast.models.meshnet(channels=2, classes=3)(torch.zeros(1, 1, 8, 8, 8)).shape
    torch.Size([1, 3, 8, 8, 8])
    """
    if layers is None:
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(_ACTIVATIONS)}, not {activation!r}")
        layers = _standard_layers(activation)
    if len(layers) > _MOST_LAYERS:
        raise ValueError(f"layers has {len(layers)} entries, expected at most {_MOST_LAYERS}")
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    convolutions = sum(layer.get("op") == "conv3d" for layer in layers)
    if not convolutions:
        raise ValueError("layers must hold at least one entry with op 'conv3d'")
    inputs, count = 1, 0
    for layer in layers:
        op = str(layer.get("op"))
        if op == "conv3d":
            count += 1
            outputs = classes if count == convolutions else channels
            modules[str(layer.get("name", f"conv{count}"))] = nn.Conv3d(
                inputs, outputs, tuple(layer["kernel"]), dilation=tuple(layer["dilation"]), padding="same"
            )
            inputs = outputs
        elif op in _ACTIVATIONS:
            modules[f"activation{count}"] = _ACTIVATIONS[op]()
        else:
            raise ValueError(f"unknown operation {op!r} in layers: known are 'conv3d', 'elu' and 'relu'")
    return nn.Sequential(modules)


def arguments_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read channels and classes off the shapes of a state dict with keys ``conv1`` ... ``conv10``."""
    return {"channels": state["conv1.weight"].shape[0], "classes": state["conv10.weight"].shape[0]}


def _standard_layers(activation: str) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = []
    for dilation in DILATIONS:
        layers += [{"op": "conv3d", "kernel": [3] * 3, "dilation": [dilation] * 3}, {"op": activation}]
    return [*layers, {"op": "conv3d", "kernel": [1] * 3, "dilation": [1] * 3}]
