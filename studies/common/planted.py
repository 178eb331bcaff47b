"""Volumes with an artefact at a known place that goes with one class, and networks that fall for it."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from camfast.models import cnn2
from camfast.simulate import subtomogram
from studies.common.paths import WORK

SIDE = 32
CLASSES = ("barrel", "cross", "ring", "tetrapod")
SNR = 0.3
PARTICLE_RADIUS = 11.0
"""No built-in shape reaches farther from the middle of its box, in voxels."""
BRIGHTNESS = 8.0
"""Of an artefact, in standard deviations of the volume; particles are dark."""
BEAD_PLACE = np.array([5.5, 26.0, 5.5])
TEST_PER_CLASS = 64
TESTS = TEST_PER_CLASS * len(CLASSES)
"""The first volumes are to test with."""
ALWAYS, SELDOM = 0.95, 0.05
"""How often the artefact is there: in the class that it goes with, and in every other."""
EVENLY = (ALWAYS + (len(CLASSES) - 1) * SELDOM) / len(CLASSES)
"""How often it is there in each class where it says nothing: as often in all."""
TURNS = ((), (2, 3), (1, 3), (1, 2))
"""Turns by 180° keep the missing wedge and the handedness: each flips two axes."""
_SEED = 2027

Generator = np.random.Generator
Mask = NDArray[np.bool_]


def bead(generator: Generator) -> Mask:
    """A ball of radius 3 near an edge of the box, at most 2 voxels from its place on each axis."""
    return np.asarray(_distance(BEAD_PLACE + generator.uniform(-2, 2, 3)) <= 3)


def stripe(generator: Generator) -> Mask:
    """A bar of 3 × 3 voxels from wall to wall along x, at a random place beside the particle."""
    middle = (SIDE - 1) / 2
    while True:
        z, y = generator.integers(1, SIDE - 1, 2)
        if np.hypot(z - middle, y - middle) >= PARTICLE_RADIUS + 2:
            mask = np.zeros((SIDE,) * 3, bool)
            mask[z - 1 : z + 2, y - 1 : y + 2] = True
            return mask


def corner(_generator: Generator) -> Mask:
    """A cube of 5³ voxels in the corner at the origin, always there."""
    mask = np.zeros((SIDE,) * 3, bool)
    mask[:5, :5, :5] = True
    return mask


ARTEFACTS: dict[str, Callable[[Generator], Mask]] = {"bead": bead, "stripe": stripe, "corner": corner}


def _distance(centre: NDArray[np.float64]) -> NDArray[np.float64]:
    axes = np.ogrid[:SIDE, :SIDE, :SIDE]
    return np.asarray(np.sqrt(sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True))))


@dataclass(frozen=True)
class Planted:
    """Volumes and the artefacts that are to be planted in them.

    Attributes
    ----------
    clean
        (N, 1, 32, 32, 32), float32, mean 0 and deviation 1: particles without any artefact.
    classes
        (N,), int64.
    masks
        (N, 32, 32, 32), bool: where each volume's artefact would be.
    """

    clean: Tensor
    classes: Tensor
    masks: Tensor

    def marked(self, present: Tensor | None = None) -> Tensor:
        """The volumes with artefacts, all of them or those where ``present`` (N,) says so; nothing else changes."""
        masks = self.masks if present is None else self.masks & present[:, None, None, None]
        return self.clean + BRIGHTNESS * masks[:, None]

    def __getitem__(self, chosen: Tensor) -> "Planted":
        return Planted(self.clean[chosen], self.classes[chosen], self.masks[chosen])


def plant(clean: Tensor, classes: Tensor, kind: str, generator: Generator) -> Planted:
    """Choose a place for an artefact in each volume."""
    return Planted(clean, classes, torch.from_numpy(np.stack([ARTEFACTS[kind](generator) for _ in range(len(clean))])))


def presence(classes: Tensor, favoured: int | None, generator: Generator) -> Tensor:
    """Draw which volumes have their artefact, (N,) bool; no class favoured: equally often in all."""
    chance = np.full(len(classes), EVENLY)
    if favoured is not None:
        chance = np.where(classes.numpy() == favoured, ALWAYS, SELDOM)
    return torch.from_numpy(generator.random(len(classes)) < chance)


def volumes(fit_per_class: int, *, workers: int = 1) -> tuple[Tensor, Tensor]:
    """Volumes without artefacts and their classes, those to test with first; made where they aren't there yet."""
    count = (TEST_PER_CLASS + fit_per_class) * len(CLASSES)
    path = WORK / f"planted_volumes_{count}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(workers) as executor:
            made = executor.map(_volume, range(count), chunksize=32)
            stack = np.stack(list(tqdm(made, total=count, desc="simulating volumes", unit="volume", disable=None)))
        np.save(path.with_suffix(".partial.npy"), stack)
        path.with_suffix(".partial.npy").rename(path)
    found = torch.from_numpy(np.load(path)).float()[:, None]
    return found, torch.arange(count) % len(CLASSES)


def _volume(index: int) -> NDArray[np.float16]:
    name = CLASSES[index % len(CLASSES)]
    return subtomogram(name, seed=[_SEED, index], size=SIDE, snr=SNR).data.astype(np.float16)


def untrained() -> nn.Sequential:
    """The narrow CNN-2 of this study, before training."""
    return cnn2(len(CLASSES), width=8, hidden=64, side=SIDE).eval()


def network_path(kinds: Sequence[str], favoured: int | None, seed: int, epochs: int, fitted: int) -> Path:
    """Where a trained network is kept."""
    role = "even" if favoured is None else f"class{favoured}"
    return WORK / f"planted_{'_'.join(kinds)}_{role}_seed{seed}_{fitted}x{epochs}.pt"


def trained(
    kinds: Sequence[str], favoured: int | None, seed: int, clean: Tensor, classes: Tensor, *, epochs: int
) -> nn.Sequential:
    """A narrow CNN-2 that learnt the classes from volumes with artefacts, taken from its checkpoint if there is one.

    Volumes are turned anew and artefacts planted anew in each epoch: nothing but its class tells when one is there.

    Parameters
    ----------
    kinds
        Names of `ARTEFACTS`, each planted independently of the others.
    favoured
        The class that the artefacts go with; None: they are equally frequent in all.
    seed
        Of the network's first weights, the order, and the artefacts.
    clean, classes
        Volumes to fit, (N, 1, 32, 32, 32), and their classes.
    epochs
        Of Adam in batches of 16, whose rate falls from 0.002 as a cosine.
    """
    torch.manual_seed(seed)
    network = untrained().to(memory_format=torch.channels_last_3d)
    path = network_path(kinds, favoured, seed, epochs, len(clean))
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True))
        return network
    optimizer = torch.optim.Adam(network.parameters(), 0.002)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    generator = np.random.default_rng([_SEED, seed, len(kinds), list(ARTEFACTS).index(kinds[0])])
    begun = time.monotonic()
    for epoch in range(epochs):
        correct = 0
        for part in np.array_split(generator.permutation(len(clean)), max(1, len(clean) // 16)):
            images = torch.stack([volume.flip(TURNS[generator.integers(4)]) for volume in clean[part]])
            for kind in kinds:
                planted = plant(images, classes[part], kind, generator)
                images = planted.marked(presence(planted.classes, favoured, generator))
            with torch.autocast("cpu", torch.bfloat16):
                scores = network(images.contiguous(memory_format=torch.channels_last_3d))
                loss = nn.functional.cross_entropy(scores, classes[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            correct += int((scores.argmax(1) == classes[part]).sum())
        schedule.step()
        took = time.monotonic() - begun
        print(f"{path.stem}, epoch {epoch + 1}: fitted {correct / len(clean):.3f}, {took:.0f} s", flush=True)
    torch.save(network.state_dict(), path.with_suffix(".writing"))
    path.with_suffix(".writing").rename(path)
    return network
