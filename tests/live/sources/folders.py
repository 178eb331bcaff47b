"""Pictures of noise, and files that appear at once in a folder."""

import os
import time
from pathlib import Path

import numpy as np
import tifffile

RANDOM = np.random.default_rng(0)


def picture(height: int = 5, width: int = 7) -> np.ndarray:
    return RANDOM.integers(0, 65536, (height, width)).astype(np.uint16)


def write(path: Path, data: np.ndarray, age: float = 0) -> None:
    """Write a TIFF at once, as if it were so many seconds old."""
    hidden = path.with_name(f".{path.name}")
    tifffile.imwrite(hidden, data)
    os.utime(hidden, (time.time() - age,) * 2)
    hidden.rename(path)
