"""Write what the C++ example reads: activations and gradients of one layer, as stacks of volumes in MRC files.

A simulated subtomogram goes through the small trained network of the demo; the gradients are those
of one class's score.
Needs the extra ``scan`` for MRC files::

    python examples/cpp/inputs.py build/example

With ``--map``, Python's own map is written too, as ``expected.mrc``.
"""

import argparse
from pathlib import Path

import mrcfile
import numpy as np
import torch
from numpy.typing import NDArray

import camfast

SIDE = 32  # voxels of a window of this network
SIGMA = 6.0
VOXEL_ANGSTROM = 10.0


def network_inputs(particle: str, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations and gradients (C, D, H, W) of the network's layer for a simulated particle's own class."""
    network = camfast.models.load("subtomogram_demo")
    assert network.layer is not None
    assert network.labels is not None
    box = camfast.simulate.subtomogram(particle, seed=seed, size=SIDE, snr=0.5, voxel_angstrom=VOXEL_ANGSTROM)
    with camfast.capture(network.module, network.layer) as captured:
        scores = network.module(torch.from_numpy(box.data)[None, None])
    (gradients,) = torch.autograd.grad(scores[0, network.labels.index(particle)], captured.activations)
    return captured.activations[0].detach(), gradients[0]


def write_stack(path: Path, volumes: NDArray[np.float32], voxel_angstrom: float) -> None:
    """Write (C, D, H, W) as a stack of volumes: MRC mode 2, ISPG 401."""
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(np.ascontiguousarray(volumes))  # four axes are a stack of volumes to mrcfile
        file.voxel_size = voxel_angstrom


def main() -> None:
    """Write the files that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--particle", choices=sorted(camfast.simulate.SHAPES), default="ring", help="which one lies in the window"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the subtomogram (default 0)")
    parser.add_argument("--map", action="store_true", help="write Python's map as well")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    activations, gradients = network_inputs(options.particle, options.seed)
    cell = VOXEL_ANGSTROM * SIDE / activations.shape[-1]
    write_stack(options.folder / "activations.mrc", activations.numpy(), cell)
    write_stack(options.folder / "gradients.mrc", gradients.numpy(), cell)
    if options.map:
        heat = camfast.ops.fused_cam(
            activations[None],
            gradients[None],
            "respond",
            relu=False,
            size=(SIDE, SIDE, SIDE),
            upsample="gaussian",
            sigma=SIGMA,
        )
        with mrcfile.new(options.folder / "expected.mrc", overwrite=True) as file:
            file.set_data(heat[0].numpy())
            file.voxel_size = VOXEL_ANGSTROM
    print(f"wrote activations.mrc and gradients.mrc, {tuple(activations.shape)}, to {options.folder}")


if __name__ == "__main__":
    main()
