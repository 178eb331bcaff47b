"""Simulated tomograms with the class of every voxel, and segmenters of their volumes and slices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from camfast.models import load
from camfast.simulate import form_image, tomogram
from camfast.simulate.particles import Template, templates
from camfast.simulate.tomogram import density_of
from studies.common.paths import WORK

LABELS = ("background", "ring", "rod", "shell", "tetrapod")
SIDE = 64
OF_EACH = 2
SNR = 1.0
"""Nominal, of the whole tomogram: its empty parts count, so that of a particle is higher."""
TEST = 16
VALIDATION = 4
TEST_DRAW = 2**31
"""The draw of noise that test and validation images have, whatever the step."""
_SEED = 1964


@dataclass(frozen=True)
class Tomograms:
    """Densities of tomograms, and what a microscope shows of them.

    Attributes
    ----------
    densities : ndarray
        (count, 64, 64, 64), float16; before any imaging.
    classes : ndarray
        (count, 64, 64, 64), uint8: an index into `LABELS` for each voxel, by the true densities.
    """

    densities: NDArray[np.float16]
    classes: NDArray[np.uint8]

    @property
    def test(self) -> NDArray[np.int64]:
        """Numbers of the tomograms that no network was fitted to: the first."""
        return np.arange(min(TEST, len(self.densities) // 2))

    @property
    def validation(self) -> NDArray[np.int64]:
        """Numbers of the tomograms that progress is measured on."""
        return np.arange(len(self.test), min(len(self.test) + VALIDATION, len(self.densities) - 1))

    @property
    def fit(self) -> NDArray[np.int64]:
        """Numbers of the others."""
        return np.arange(len(self.test) + len(self.validation), len(self.densities))

    def images(self, indices: NDArray[np.int64], draw: int = TEST_DRAW) -> Tensor:
        """Image densities, (N, 1, 64, 64, 64) float32, each with mean 0 and deviation 1; a new draw is new noise."""
        return torch.stack([self._image(int(index), draw) for index in indices])[:, None]

    def labels(self, indices: NDArray[np.int64]) -> Tensor:
        """Class of every voxel, (N, 64, 64, 64) int64."""
        return torch.from_numpy(self.classes[indices]).long()

    def _image(self, index: int, draw: int) -> Tensor:
        image = form_image(self.densities[index], np.random.default_rng([_SEED, draw, index]), snr=SNR)
        return torch.from_numpy((image - image.mean()) / image.std())


def tomograms(count: int) -> Tomograms:
    """Open as many tomograms, which are made where they aren't there yet: about half a second each."""
    path = WORK / f"tomograms_{count}.npz"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        known = templates(LABELS[1:])
        made = [_made(known, index) for index in tqdm(range(count), desc="simulating tomograms", disable=None)]
        densities, classes = (np.stack(parts) for parts in zip(*made, strict=True))
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, densities=densities, classes=classes)
        partial.rename(path)
    with np.load(path) as stored:
        return Tomograms(stored["densities"], stored["classes"])


def _made(known: tuple[Template, ...], index: int) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Density of a tomogram, and the class of its voxels: that of a particle where its density exceeds a half."""
    size = (SIDE, SIDE, SIDE)
    wanted = dict.fromkeys(LABELS[1:], OF_EACH)
    placed = tomogram(size, wanted, seed=_SEED + index, densities=LABELS[1:], snr=np.inf).particles
    apart = [
        density_of(known, [particle for particle in placed if particle.class_index == class_index], size)
        for class_index in range(len(known))
    ]
    classes = np.argmax([np.full(size, 0.5, np.float32), *apart], axis=0)
    return np.sum(apart, axis=0).astype(np.float16), classes.astype(np.uint8)


def weights_path(dimensions: int) -> Path:
    """Where the trained weights are."""
    return WORK / f"unet{dimensions}d.safetensors"


def segmenter(dimensions: int) -> nn.Module:
    """The trained U-Net for volumes (3) or slices (2).

    Raises
    ------
    SystemExit
        If it isn't trained yet.
    """
    path = weights_path(dimensions)
    if not path.exists():
        raise SystemExit(f"{path} isn't there: python -m studies.train_segmenters --dimensions {dimensions}")
    return load("unet", path).module.eval()


def dice(predicted: Tensor, true: Tensor, classes: int) -> Tensor:
    """Overlap 2 |P ∩ T| / (|P| + |T|) of each class over everything given, (classes,); NaN where both are empty."""
    found = torch.stack([predicted == index for index in range(classes)]).flatten(1)
    wanted = torch.stack([true == index for index in range(classes)]).flatten(1)
    return 2 * (found & wanted).sum(1, dtype=torch.float64) / (found.sum(1) + wanted.sum(1))
