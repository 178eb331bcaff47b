"""Every map that camfast makes of a network of volumes, and how much of one lies where an artefact is."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

import camfast
from camfast import ops
from studies.common.planted import SIDE

Explain = Callable[[nn.Module, Tensor, int], Tensor]

LAYERS = {"maxpool2": 8, "maxpool1": 4}
"""Explained layers, and the voxels along a cell's edge."""
SIGMA = 0.77
"""Of Extended-CAM's Gaussians, in cells: about what is measured here; the central units of some networks never fire."""
INPUT_CELL = 2
"""Behind the input stands an average-pool of 2³ voxels."""
WINDOW = 8
"""Voxels along the edge of what is hidden at once."""


@dataclass(frozen=True)
class Map:
    """A row of the tables.

    Attributes
    ----------
    name
        Of the method.
    layer
        Where it is made; ``"input"`` for what has no layer.
    cell
        Voxels along the edge of the smallest thing that it can show.
    make
        Function of a network, volumes (N, 1, *S) and a class that returns maps (N, *S).
    """

    name: str
    layer: str
    cell: int
    make: Explain


def _of_layer(network: nn.Module, inputs: Tensor, target: int, *, method: str, layer: str) -> Tensor:
    """Activations and gradients, upsampled as the method does: Extended-CAM by Gaussians."""
    sigma = SIGMA * LAYERS[layer] if method == "extended" else None
    return camfast.cam(network, inputs, layer, target, method=method, sigma=sigma)


def _guided(network: nn.Module, inputs: Tensor, target: int, *, layer: str) -> Tensor:
    return camfast.guided_gradcam(network, inputs, layer, target)[:, 0]


def _of_input(network: nn.Module, inputs: Tensor, target: int, *, explain: Callable[..., Tensor]) -> Tensor:
    return explain(network, inputs, target)[:, 0]


def _occluded(network: nn.Module, inputs: Tensor, target: int) -> Tensor:
    return camfast.occlusion(network, inputs, target, window=WINDOW, batch=64)


def _rise(network: nn.Module, inputs: Tensor, target: int, *, masks: int) -> Tensor:
    return camfast.rise(network, inputs, target, masks=masks, cells=SIDE // WINDOW, batch=64)


def known_maps(rise_masks: int) -> list[Map]:
    """Every method at every layer, and every method without one, in the order of the tables."""
    found = [
        Map(method, layer, cell, partial(_of_layer, method=method, layer=layer))
        for layer, cell in LAYERS.items()
        for method in camfast.methods()
    ]
    found += [Map("guided_gradcam", layer, INPUT_CELL, partial(_guided, layer=layer)) for layer in LAYERS]
    for explain in (camfast.saliency, camfast.guided_backprop, camfast.deconvnet):
        found.append(Map(explain.__name__, "input", INPUT_CELL, partial(_of_input, explain=explain)))
    found.append(Map("occlusion", "input", WINDOW, _occluded))
    found.append(Map("rise", "input", WINDOW, partial(_rise, masks=rise_masks)))
    return found


def grown(masks: Tensor, voxels: int) -> Tensor:
    """Masks (N, *S) grown by some voxels along each axis and diagonal."""
    found = masks[:, None].float()
    for axis in range(3):  # a cube's maximum is that of its axes, one after the other
        padding = [voxels * (axis == one) for one in range(3)]
        found = nn.functional.max_pool3d(found, [2 * width + 1 for width in padding], 1, padding)
    return found[:, 0] > 0


def peak_inside(maps: Tensor, masks: Tensor) -> Tensor:
    """Whether the largest value of each map (N, *S) lies inside its mask, (N,) bool; a constant map has none."""
    flat = maps.flatten(1)
    hit = masks.flatten(1).gather(1, flat.argmax(1, keepdim=True))[:, 0]
    return hit & (flat.amax(1) > flat.amin(1))


def best_share(masks: Tensor, cell: int) -> Tensor:
    """The largest share inside each mask (N, *S) of any map on cells, upsampled linearly: all in the best one."""
    cells = SIDE // cell
    upsampled = ops.linear_upsample(torch.eye(cells**3).reshape(-1, cells, cells, cells), (SIDE,) * 3).flatten(1)
    inside = masks.flatten(1).float() @ upsampled.T
    return (inside / upsampled.sum(1)).amax(1).double()
