"""Simulated subtomograms of 23 macromolecules: rotated densities made once, imaged with the noise that is asked for."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mrcfile
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from camfast.simulate import Particle, form_image
from camfast.simulate.particles import random_quaternion, templates
from camfast.simulate.tomogram import density_of
from studies.common.paths import WORK, data

Split = Literal["fit", "validation", "test"]

SIDE = 40
SHIFT = 1.0
"""Largest shift on each axis, in voxels: no template reaches farther than 18.5 from its centre, so none is cut."""
TEST_DRAW = 2**31
"""The draw of noise that test and validation images have, whatever the epoch."""
_SEED = 20181
_KNOWN = None


def template_paths() -> dict[str, Path]:
    """The densities at 10 Å a voxel by name, in the order of their classes."""
    return {path.stem: path for path in sorted(data("templates").glob("*.mrc"))}


@dataclass(frozen=True)
class Pool:
    """Rotated and shifted densities, ``per_class`` of each class, and what a microscope shows of them.

    Attributes
    ----------
    labels : tuple of str
        Names of the 23 classes.
    densities : ndarray
        (23 · per_class, 40, 40, 40), float16, each scaled to its maximum; number i is of class i mod 23.
    """

    labels: tuple[str, ...]
    densities: NDArray[np.float16]

    def indices(self, split: Split) -> NDArray[np.int64]:
        """Numbers of a split: of 25 in a class 5 are for the test, 4 for validation and 16 to fit."""
        number = np.arange(len(self.densities)) // len(self.labels) % 25
        chosen = {"test": number < 5, "validation": (number >= 5) & (number < 9), "fit": number >= 9}[split]
        return np.flatnonzero(chosen)

    def classes(self, indices: NDArray[np.int64]) -> Tensor:
        """Class of each number, (N,)."""
        return torch.from_numpy(indices % len(self.labels))

    def images(self, indices: NDArray[np.int64], snr: float, draw: int = TEST_DRAW) -> Tensor:
        """Image densities, (N, 1, 40, 40, 40) float32, each with mean 0 and deviation 1; a new draw is new noise."""
        return torch.stack([self._image(int(index), snr, draw) for index in indices])[:, None]

    def masks(self, indices: NDArray[np.int64], level: float = 0.1) -> Tensor:
        """Where the true density exceeds a part of its maximum, (N, 40, 40, 40) bool."""
        return torch.from_numpy(self.densities[indices] > level)

    def _image(self, index: int, snr: float, draw: int) -> Tensor:
        image = form_image(self.densities[index], np.random.default_rng([_SEED, draw, index]), snr=snr)
        return torch.from_numpy((image - image.mean()) / image.std())


def pool(per_class: int, *, workers: int = 2) -> Pool:
    """Open the pool of densities: the start of a larger one, or made where there is none."""
    labels = tuple(template_paths())
    made = {int(path.stem.partition("_")[2]): path for path in WORK.glob("densities_*[0-9].npy")}
    path = next((made[size] for size in sorted(made) if size >= per_class), WORK / f"densities_{per_class}.npy")
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        _make(path, per_class * len(labels), workers)
    return Pool(labels, np.load(path, mmap_mode="r")[: per_class * len(labels)])


def _make(path: Path, count: int, workers: int) -> None:
    partial_path = path.with_suffix(f".{os.getpid()}.partial")  # two studies may make it at the same time
    stored = np.lib.format.open_memmap(partial_path, "w+", np.float16, (count, SIDE, SIDE, SIDE))
    with ProcessPoolExecutor(workers) as executor:
        made = executor.map(_density, range(count), chunksize=64)
        for index, density in enumerate(tqdm(made, total=count, desc="simulating densities", unit="density")):
            stored[index] = density
    stored.flush()
    partial_path.rename(path)


def _density(index: int) -> NDArray[np.float16]:
    """Rotate and shift a template at random."""
    global _KNOWN
    if _KNOWN is None:
        _KNOWN = templates({name: mrcfile.read(path) for name, path in template_paths().items()})
    generator = np.random.default_rng([_SEED, index])
    z, y, x = ((SIDE - 1) / 2 + generator.uniform(-SHIFT, SHIFT, 3)).tolist()
    particle = Particle(index % len(_KNOWN), "", (z, y, x), random_quaternion(generator))
    density = density_of(_KNOWN, (particle,), (SIDE, SIDE, SIDE))
    return (density / density.max()).astype(np.float16)


def batches(
    found: Pool, indices: NDArray[np.int64], size: int, snr: float, draw: int = TEST_DRAW
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and classes in batches, the next one being simulated while one is used."""
    parts = [indices[start : start + size] for start in range(0, len(indices), size)]
    with ThreadPoolExecutor(1) as executor:
        ahead = executor.submit(found.images, parts[0], snr, draw)
        for part, following in zip(parts, [*parts[1:], None], strict=True):
            images = ahead.result()
            if following is not None:
                ahead = executor.submit(found.images, following, snr, draw)
            yield images, found.classes(part)
