"""The networks that `load` knows by name, and what is known of each where its weights do not say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from camfast.models.architectures import cnn1, cnn2, meshnet, resnet20, squeezenet1_0, unet
from camfast.models.preprocess import Preprocess

State = dict[str, Tensor]


def _same(state: State) -> State:
    return state


def _no_arguments(_state: Mapping[str, Tensor]) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Builtin:
    """A factory, its layer to explain, and how its weights are read."""

    factory: Callable[..., nn.Module]
    layer: str
    arguments_of: Callable[[Mapping[str, Tensor]], dict[str, Any]] = _no_arguments
    translate: Callable[[State], State] = _same
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] | None = None
    weights: Path | None = None


_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

BUILTINS: dict[str, Builtin] = {
    "cnn1": Builtin(cnn1.cnn1, "maxpool2", cnn1.arguments_of),
    "cnn2": Builtin(cnn2.cnn2, "maxpool2", cnn2.arguments_of),
    "meshnet": Builtin(meshnet.meshnet, "activation9", meshnet.arguments_of),
    "resnet20": Builtin(
        resnet20.resnet20,
        "layer3",
        preprocess=Preprocess((32, 32), "RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        labels=_CIFAR10,
    ),
    "squeezenet1_0": Builtin(
        squeezenet1_0.squeezenet1_0,
        "fire9",
        translate=squeezenet1_0.from_caffe_names,
        preprocess=Preprocess((227, 227), "BGR", 1.0, (104.0, 117.0, 123.0), resample="bicubic"),
    ),
    "subtomogram_demo": Builtin(
        cnn2.cnn2,
        "maxpool2",
        cnn2.arguments_of,
        weights=Path(__file__).parent / "weights" / "subtomogram_demo.safetensors",
    ),
    "unet": Builtin(unet.unet, "bottleneck", unet.arguments_of),
}
