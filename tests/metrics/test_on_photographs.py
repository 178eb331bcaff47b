"""Trained networks on real input: curves tell a map from a random one, and hidden windows find the cat and the dog."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import camfast
from camfast.metrics import deletion, insertion, randomization_check

pytestmark = pytest.mark.realdata
# rows and columns of the 227 × 227 photograph that the animals fill, read off the picture by eye
CAT, DOG = (slice(120, 227), slice(40, 200)), (slice(12, 142), slice(78, 170))
CLASSES = {282: CAT, 243: DOG}


@pytest.fixture(scope="module")
def network(data_dir: Path) -> camfast.models.Loaded:
    return camfast.models.load("squeezenet1_0", data_dir / "imagenet" / "squeezenet1_0.safetensors")


@pytest.fixture(scope="module")
def photograph(network: camfast.models.Loaded, data_dir: Path) -> Tensor:
    assert network.preprocess is not None
    with Image.open(data_dir / "imagenet" / "both.png") as picture:
        return network.preprocess(picture)


def test_a_map_is_told_from_a_random_one(network: camfast.models.Loaded, photograph: Tensor) -> None:
    heat = camfast.cam(network.module, photograph, "fire9")
    noise = torch.nn.functional.interpolate(torch.rand(1, 1, 13, 13), (227, 227), mode="bilinear")[0]
    both, maps = photograph.expand(2, -1, -1, -1), torch.cat([heat, noise])
    shown, taken = (function(network.module, both, maps, steps=6).auc for function in (insertion, deletion))
    assert float(shown[0]) > 1.2 * float(shown[1])
    assert float(taken[0]) < 0.8 * float(taken[1])


def test_hidden_windows_find_the_animals(network: camfast.models.Loaded, photograph: Tensor) -> None:
    heat = camfast.occlusion(network.module, photograph, list(CLASSES), window=60, stride=42)
    for animal, (rows, columns) in zip(heat[0], CLASSES.values(), strict=True):
        row, column = divmod(int(animal.argmax()), 227)
        assert rows.start <= row < rows.stop
        assert columns.start <= column < columns.stop


def test_a_map_of_a_trained_network_does_not_survive_its_weights(
    network: camfast.models.Loaded, photograph: Tensor
) -> None:
    def explain(model: nn.Module, inputs: Tensor) -> Tensor:
        return camfast.cam(model, inputs, "fire9", 282, size="grid")

    layers = ["conv10", "fire9.expand3x3", "fire5.expand3x3", "conv1"]
    found = randomization_check(network.module, photograph, explain, layers=layers, seeds=2, modes=["cascading"])
    alike = found.modes["cascading"].mean()
    assert float(alike.spearman[-1]) < 0.6
    assert float(alike.ssim[-1]) < 0.6
