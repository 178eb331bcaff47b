"""The networks that the peers are compared on, and the peers themselves, or a skip that says how to get them."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from camfast import models

_HOW = "the peers are not installed: pip install --no-deps -r requirements-parity.txt"
# Where activations are not negative, rectified gradients give what rectified products give.
RECTIFIED = ("layercam", "elementwise")
# Where gradients are the same at every place, their mean gives what they give themselves.
UNIFORM = ("gradcam", "hirescam")


@dataclass(frozen=True)
class Case:
    """A network, the layer to explain, a batch, a class for each sample, and the methods that give one map there."""

    model: nn.Module
    layer: str
    inputs: Tensor
    classes: Tensor
    alike: frozenset[tuple[str, str]] = frozenset({RECTIFIED})


@pytest.fixture(scope="session")
def peer() -> ModuleType:
    """pytorch-grad-cam; it imports names from torchvision that the maps compared here never use."""
    if importlib.util.find_spec("pytorch_grad_cam") is None:
        pytest.skip(_HOW)
    stubs = {
        "torchvision": (),
        "torchvision.transforms": ("Compose", "Normalize", "ToTensor"),
        "torchvision.transforms.functional": ("resize",),
    }
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("torchvision") is None:
            for name, members in stubs.items():
                module = ModuleType(name)
                module.__dict__.update(dict.fromkeys(members))
                patch.setitem(sys.modules, name, module)
        return importlib.import_module("pytorch_grad_cam")


@pytest.fixture(scope="session")
def captum_attr() -> ModuleType:
    """Captum's attributions."""
    if importlib.util.find_spec("captum") is None:
        pytest.skip(_HOW)
    return importlib.import_module("captum.attr")


@pytest.fixture
def network(request: pytest.FixtureRequest) -> Case:
    """The case that a test names by an indirect parameter."""
    torch.manual_seed(0)
    name: str = request.param
    folder = request.getfixturevalue("data_dir") if name.endswith("_trained") else None
    return _NETWORKS[name](folder)


def _squeezenet(_folder: Path | None) -> Case:
    """A pool behind the layer and a rectified 1×1 head: gradients differ from place to place."""
    model = models.squeezenet1_0(classes=10).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    inputs = torch.randn(3, 3, 127, 95)
    with torch.no_grad():  # classes whose rectified score isn't 0
        classes = model(inputs).mean(0).topk(3).indices
    return Case(model, "fire8", inputs, classes)


def _squeezenet_trained(folder: Path | None) -> Case:
    assert folder is not None
    loaded = models.load("squeezenet1_0", folder / "imagenet" / "squeezenet1_0.safetensors")
    assert loaded.preprocess is not None
    with Image.open(folder / "imagenet" / "both.png") as image:
        inputs = loaded.preprocess(image).expand(2, -1, -1, -1)
    return Case(loaded.module, "fire9", inputs, torch.tensor([282, 243]), frozenset({RECTIFIED, UNIFORM}))


def _resnet20(_folder: Path | None) -> Case:
    """Two blocks before the pooling: right in front of it most methods give one and the same map."""
    return Case(models.resnet20().eval(), "layer3.0", torch.randn(3, 3, 32, 32), torch.tensor([0, 4, 9]))


def _resnet20_trained(folder: Path | None) -> Case:
    assert folder is not None
    loaded = models.load("resnet20", folder / "cifar10" / "resnet20.safetensors")
    assert loaded.preprocess is not None
    inputs = []
    for name in ("cat", "ship"):
        with Image.open(min((folder / "cifar10" / name).iterdir())) as image:
            inputs.append(loaded.preprocess(image))
    return Case(loaded.module, "layer3.0", torch.cat(inputs), torch.tensor([3, 8]))


def _perceptron_head(_folder: Path | None) -> Case:
    """Convolutions and two dense layers; activations of both signs, whose sums are safely positive."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.GroupNorm(16, 16), nn.LeakyReLU(0.2), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 8 * 6, 32), nn.ReLU(), nn.Linear(32, 5),
    )  # fmt: skip
    return Case(model.eval(), "5", torch.randn(3, 3, 32, 24), torch.tensor([1, 3, 4]), frozenset())


_NETWORKS: dict[str, Callable[[Path | None], Case]] = {
    "squeezenet1_0": _squeezenet,
    "squeezenet1_0_trained": _squeezenet_trained,
    "resnet20": _resnet20,
    "resnet20_trained": _resnet20_trained,
    "perceptron_head": _perceptron_head,
}
NETWORKS = [pytest.param(name, marks=pytest.mark.realdata) if name.endswith("_trained") else name for name in _NETWORKS]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every test that takes a network on each of them."""
    if "network" in metafunc.fixturenames:
        metafunc.parametrize("network", NETWORKS, indirect=True)
