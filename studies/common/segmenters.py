"""The three segmenters of the study as cases: U-Nets for volumes and slices of tomograms, and MeshNet for one head."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn

import camfast
from studies.common import brain
from studies.common.segments import REGIONS, Case
from studies.common.tomograms import SIDE, Tomograms, segmenter, tomograms
from studies.train_segmenters import COUNT, quick_network, scored

LEVELS = ("encoder.1", "encoder.2", "bottleneck", "decoder.0", "decoder.1")
"""Not ``decoder.2``: behind it stands the last convolution alone, and `hirescam` is inside a region by construction."""
DISTINCT = ("gradcam", "gradcam++", "respond", "hirescam", "layercam", "extended", "eigencam")
"""The methods that are put to the test, as each costs many passes: not `xgradcam`, which is `respond` but for its ε,
nor `elementwise` and `eigengradcam`."""
EXPLAINED = 12
"""Test volumes that are explained, three of each class."""
CALIBRATION = 8
"""Images that the effective receptive fields are measured on, of the fitted tomograms."""


def found(quick: bool) -> Tomograms:
    """The tomograms."""
    return tomograms(4 if quick else COUNT)


def volumes(quick: bool) -> Case:
    """The 3-D U-Net on the test tomograms, one class each in turn."""
    data = found(quick)
    network = quick_network(3, data) if quick else segmenter(3)
    shown = data.test[:EXPLAINED]
    inputs = data.images(shown)
    classes = [1 + number % 4 for number in range(len(shown))]
    sigma = widths(network, data.images(data.fit[: 1 if quick else 4]), LEVELS)
    return Case(
        "U-Net, volumes", network, inputs, seen_most(network, inputs) if quick else classes, shown.tolist(), LEVELS,
        sigma, tested=LEVELS[2:3] if quick else LEVELS[1:4], changed=REGIONS[2:3] if quick else REGIONS[1:],
        methods=DISTINCT, batch=4, half=True, dice=scored(network, data, data.test, 3),
    )  # fmt: skip


def slices(quick: bool) -> Case:
    """The 2-D U-Net on two slices of each test tomogram: for two of the classes the plane that cuts most of them."""
    data = found(quick)
    network = quick_network(2, data) if quick else segmenter(2)
    images, true = data.images(data.test)[:, 0], data.labels(data.test)
    planes, classes, groups = [], [], []
    for number, (image, labels) in enumerate(zip(images, true, strict=True)):
        for class_index in (1 + number % 4, 1 + (number + 2) % 4):
            planes.append(image[int((labels == class_index).flatten(1).sum(1).argmax()), None])
            classes.append(class_index)
            groups.append(number)
    inputs = torch.stack(planes)
    sigma = widths(network, data.images(data.fit[:CALIBRATION])[:, :, SIDE // 2], LEVELS)
    return Case(
        "U-Net, slices", network, inputs, seen_most(network, inputs) if quick else classes, groups, LEVELS, sigma,
        tested=LEVELS[2:3] if quick else LEVELS, methods=DISTINCT, dice=scored(network, data, data.test, 2),
    )  # fmt: skip


def head(quick: bool) -> Case:
    """MeshNet on the white matter of the head, whose largest component is nearly all of it."""
    network, inputs = brain.network(), brain.head(32 if quick else brain.MAPPED)
    shifts = product((0, 16), repeat=3)
    around = torch.cat([brain.head(64).roll(shift, (2, 3, 4)) for shift in shifts])  # another voxel in the middle
    return Case(
        "MeshNet, one head", network, inputs, [brain.WHITE], [0], brain.LAYERS, widths(network, around, brain.LAYERS),
        tested=brain.LAYERS[2:] if quick else brain.LAYERS, changed=REGIONS[2:3] if quick else REGIONS[2:],
        methods=("gradcam", "respond", "hirescam", "layercam"), batch=1,
    )  # fmt: skip


def seen_most(network: nn.Module, inputs: Tensor) -> list[int]:
    """The class with the most voxels in each output, for networks that haven't learned the others yet."""
    with torch.no_grad():
        return [int(network(one[None]).argmax(1).flatten().bincount().argmax()) for one in inputs]


def widths(network: nn.Module, images: Tensor, layers: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """σ of the effective receptive field by layer, in pixels: what the Gaussians of `extended` are as wide as."""
    return {layer: camfast.effective_receptive_field(network, images, layer).sigma for layer in layers}
