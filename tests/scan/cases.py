"""What the tests of scans share: windows for the small network, volumes, and what is in a folder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from camfast.scan import preparing
from camfast.scan.formats import mrc_writer, ome_zarr_writer
from camfast.scan.windows import sizes

WINDOW, STRIDE, CELL = (12, 8, 8), (8, 4, 8), 4
SHAPE = (20, 16, 24)


class Stop(Exception):  # noqa: N818 - it is no error
    """What ends a scan from outside."""


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


def cut_small(setattr_=setattr, **changes):
    """Let scans be cut into many pieces: other `Sizes` than they would choose, and small chunks.

    Parameters
    ----------
    setattr_
        What sets an attribute, such as that of pytest's ``monkeypatch``.
    changes
        Attributes of `Sizes`.
    """
    changes = {"brick": 8, "block": 16, **changes}
    setattr_(preparing, "choose", lambda *arguments: replace(sizes.choose(*arguments), **changes))
    setattr_(mrc_writer, "_SLAB", 8)
    setattr_(ome_zarr_writer, "CHUNK", 8)
    setattr_(ome_zarr_writer, "_SMALLEST", 16)
