"""The networks with weights that others trained, on pictures and a volume that nobody here made."""

import numpy as np
import pytest
import torch
from PIL import Image

from camfast.models import load

pytestmark = pytest.mark.realdata

PHOTOGRAPHS = {
    "both.png": [("tiger, Panthera tigris", 0.40), ("tiger cat", 0.18), ("bull mastiff", 0.14)],
    "chelsea.png": [("Egyptian cat", 0.78)],
    "coffee.png": [("espresso", 0.99)],
    "parrot.jpg": [("macaw", 1.00)],
}


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_squeezenet_names_the_photographs(data_dir, name):
    folder = data_dir / "imagenet"
    labels = (folder / "imagenet_labels.txt").read_text().splitlines()[1:]
    loaded = load("squeezenet1_0", folder / "squeezenet1_0.safetensors")
    with Image.open(folder / name) as image, torch.no_grad():
        best = loaded.module(loaded.preprocess(image)).softmax(dim=1)[0].topk(3)
    found = [(labels[index], round(value, 2)) for value, index in zip(*(t.tolist() for t in best), strict=True)]
    assert found[: len(PHOTOGRAPHS[name])] == PHOTOGRAPHS[name]


def test_resnet20_tells_cifar_pictures_apart(data_dir):
    loaded = load("resnet20", data_dir / "cifar10" / "resnet20.safetensors")
    inputs, classes = [], []
    for index, label in enumerate(loaded.labels):
        for path in sorted((data_dir / "cifar10" / label).iterdir()):
            with Image.open(path) as image:
                inputs.append(loaded.preprocess(image))
            classes.append(index)
    with torch.no_grad():
        predicted = loaded.module(torch.cat(inputs)).argmax(dim=1)
    assert len(classes) == 100
    # The pictures are JPEG of quality 75, which costs this network some ten of the 92 it gets on the lossless ones.
    assert int((predicted == torch.tensor(classes)).sum()) >= 80


@pytest.mark.parametrize(("name", "activation"), [("meshnet_5ch", "ReLU"), ("meshnet_20ch", "ELU")])
def test_meshnet_finds_grey_and_white_matter(data_dir, name, activation):
    nibabel = pytest.importorskip("nibabel")
    volume = np.asarray(nibabel.load(data_dir / "mri" / "t1.nii.gz").dataobj, np.float32)
    low, high = (volume.min(), volume.max()) if name == "meshnet_5ch" else np.quantile(volume, [0.05, 0.95])
    inputs = torch.from_numpy((volume - low) / (high - low)).float()[None, None, 80:176, 100:196, 80:144]
    loaded = load("meshnet", data_dir / "mri" / f"{name}_grey_white.safetensors")
    assert type(loaded.module.activation9).__name__ == activation
    with torch.no_grad():
        predicted = loaded.module(inputs).argmax(dim=1)
    means = [float(inputs[0][predicted == index].mean()) for index in range(3)]
    shares = predicted.flatten().bincount(minlength=3) / predicted.numel()
    assert (shares > 0.05).all()
    assert max(means) > 1.3 * min(means)
