"""A real head and the MeshNet that segments it, and what one explanation of it takes in a process of its own."""

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import nibabel
import numpy as np
import torch
from torch import Tensor, nn

import camfast
from camfast.models import load
from studies.common.paths import ROOT, data

SIDE = 128
"""Of the cube that the cost of an explanation is measured on."""
MAPPED = 96
"""Of the cube whose maps are looked at and put to the test, which takes tens of passes."""
MIDDLE = (128, 112, 128)
"""The middle of the brain in the volume of 256³, read off its slices by eye."""
LABELS = ("background", "white matter", "grey matter")
WHITE = 1
"""The class whose voxels are the brightest, as white matter is in a T1 image."""
LAYERS = ("activation2", "activation5", "activation8")
WIDTH = 4.0
"""σ of `extended` in voxels where only its cost is measured."""


def network() -> nn.Module:
    """The MeshNet with 5 channels, in the layout that its dilated convolutions are fastest in on a CPU."""
    loaded = load("meshnet", data("mri", "meshnet_5ch_grey_white.safetensors"))
    return loaded.module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload, no-any-return]


def head(side: int = SIDE) -> Tensor:
    """A cube of the T1 volume around the middle of the brain, (1, 1, side, side, side), scaled as the network wants."""
    volume = np.asarray(nibabel.load(data("mri", "t1.nii.gz")).dataobj, np.float32)
    scaled = (volume - volume.min()) / (volume.max() - volume.min())
    box = tuple(slice(middle - side // 2, middle - side // 2 + side) for middle in MIDDLE)
    return torch.from_numpy(scaled[box].copy())[None, None]


def peak_mebibytes() -> float:
    """Most memory that this process has held at once.

    A process that is started by a large one begins with its parent's peak: start it while the parent is small.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 if sys.platform == "darwin" else 2**10) / (2**20 if sys.platform == "darwin" else 1)


def cost(method: str, side: int, threads: int) -> dict[str, Any]:
    """Seconds and memory of one explanation by a method, in a fresh process."""
    command = [sys.executable, "-m", "studies.common.brain", method, "--side", str(side), "--threads", str(threads)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Explain the white matter of the head once, and print what that took as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("method", choices=camfast.methods())
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, inputs = network(), head(arguments.side)
    before = peak_mebibytes()
    sigma = WIDTH if arguments.method == "extended" else None
    explainer = camfast.Explainer(model, LAYERS[1], arguments.method, sigma=sigma)
    begun = time.monotonic()
    maps = explainer(inputs, camfast.Region(WHITE, "predicted")).maps
    seconds = time.monotonic() - begun
    found = {"method": arguments.method, "seconds": seconds, "peak": peak_mebibytes(), "before": before}
    print(json.dumps({**found, "size": list(maps.shape[1:]), "largest": float(maps.abs().max())}))


if __name__ == "__main__":
    main()
