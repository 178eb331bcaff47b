"""The files that the pages' examples speak of: a tomogram, networks, a photograph, frames of a camera; all small."""

from pathlib import Path

import numpy as np
import tifffile
import torch
from PIL import Image
from safetensors.torch import save_file

import camfast
from camfast import simulate
from camfast.scan import Volume, write_volumes

NETWORK = '''"""A network of one's own, as `--model my_network.py:build` wants it."""

import camfast


def build():
    return camfast.models.cnn2(classes=23)
'''


def make(folder: Path) -> None:
    """Write the files into `folder`."""
    random = np.random.default_rng(0)
    torch.manual_seed(0)
    tomogram = simulate.tomogram((48, 56, 64), {"barrel": 3, "shell": 2}, seed=0, snr=2.0)
    write_volumes(folder / "tomo.mrc", [tomogram.data], Volume(tomogram.data, (10.0, 10.0, 10.0)))
    (folder / "my_network.py").write_text(NETWORK)
    save_file(camfast.models.cnn2(classes=23).state_dict(), folder / "net.safetensors")
    save_file(camfast.models.squeezenet1_0().state_dict(), folder / "squeezenet1_0.safetensors")
    (folder / "labels.txt").write_text("".join(f"class {index}\n" for index in range(1000)))
    y, x = np.mgrid[:240, :320]
    photograph = np.stack([x / 320, y / 240, ((x - 160) ** 2 + (y - 120) ** 2 < 60**2)], axis=-1)
    Image.fromarray((255 * photograph).astype(np.uint8)).save(folder / "photo.jpg")
    (folder / "run1").mkdir()
    for index in range(3):
        frame = random.poisson(200 + 800 * photograph[..., 2]).astype(np.uint16)
        tifffile.imwrite(folder / "run1" / f"frame{index:04}.tif", frame)
