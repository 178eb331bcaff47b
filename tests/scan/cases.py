"""What the tests of scans share: windows for the small network, volumes, and what is in a folder."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

WINDOW, STRIDE, CELL = (12, 8, 8), (8, 4, 8), 4


def density(shape, seed=0):
    return np.random.default_rng(seed).gamma(2.0, 3.0, shape).astype(np.float32)


def small_network() -> nn.Module:
    """Five classes; layer "5" has cells of 4 voxels."""
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Conv3d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.Flatten(),
        nn.Linear(6 * 3 * 2 * 2, 5),
    ).eval()


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes of every file in a folder and below, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
