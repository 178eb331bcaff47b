"""Networks for demos, studies and tests, and safe loading of anybody's weights."""

from camfast.models.architectures.cnn1 import cnn1
from camfast.models.architectures.cnn2 import cnn2
from camfast.models.architectures.meshnet import meshnet
from camfast.models.architectures.resnet20 import resnet20
from camfast.models.architectures.squeezenet1_0 import squeezenet1_0
from camfast.models.architectures.unet import unet
from camfast.models.loading import Loaded, load, names
from camfast.models.preprocess import Preprocess
from camfast.models.weights import Weights, read_weights, save_weights

__all__ = [
    "Loaded",
    "Preprocess",
    "Weights",
    "cnn1",
    "cnn2",
    "load",
    "meshnet",
    "names",
    "read_weights",
    "resnet20",
    "save_weights",
    "squeezenet1_0",
    "unet",
]
