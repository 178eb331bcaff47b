"""How far a network looks, and whether it gives the same wherever a thing lies: what sharing it asks for."""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from camfast.errors import InputError
from camfast.scan.windows.lattice import Lattice
from camfast.scan.windows.plan import AXES, Shape

# Of the largest value: what sums in another order may differ by, and a network that isn't the same elsewhere won't.
TOLERANCE = 1e-3
_FARTHEST = 4  # windows: what looks farther is taken to look everywhere
_Function = Callable[[Tensor], Tensor]


class Halo(NamedTuple):
    """Cells that a network has to be given around those that are wanted, in front of them and behind, (z, y, x)."""

    before: Shape
    behind: Shape


def halo_of(module: nn.Module, lattice: Lattice) -> Halo:
    """Measure how many cells away a network looks, by voxels that are no number: they spread as far as they are seen.

    Parameters
    ----------
    module
        Windows (N, 1, D, H, W) to cells (N, C, z, y, x), of any size.
    lattice
        Where these cells lie in a window.

    Raises
    ------
    InputError
        If every cell depends on every voxel: normalisation over the window, squeeze-and-excitation, attention; or if
        the module takes windows of one size only.
    """
    probed = copy.deepcopy(module).cpu()  # on a GPU convolutions by Fourier transforms would spread them everywhere
    reach = [_reach(probed, lattice, axis) for axis in range(3)]
    (z, y, x), (u, v, w) = zip(*reach, strict=True)
    return Halo((z, y, x), (u, v, w))


def _reach(module: nn.Module, lattice: Lattice, axis: int) -> tuple[int, int]:
    cell, step = lattice.cell[axis], lattice.plan.stride[axis] // lattice.cell[axis]
    for windows in range(2, _FARTHEST + 1):
        shape = _probe(module, lattice, axis, windows)
        # Where pooling cells begin and end, which strides are multiples of, a network looks farthest.
        middle = shape[axis] // cell // 2 // step * step
        seen = [
            (voxel // cell, *_touched(module, lattice, shape, axis, voxel))
            for voxel in sorted({middle * cell - 1, middle * cell, (middle + 1) * cell - 1})
        ]
        cells = (shape[axis] - lattice.plan.window[axis]) // cell + lattice.window[axis]
        if all(first > 0 and last < cells - 1 for _, first, last in seen):
            before, behind = max(last - own for own, _, last in seen), max(own - first for own, first, _ in seen)
            return max(before, 0), max(behind, 0)
    raise InputError(
        f"trunk='shared' cannot be used: a place depends on every voxel along {AXES[axis]}, as with normalisation over "
        "the window, squeeze-and-excitation, attention or global pooling, so windows cannot share what is computed; "
        "use trunk='exact'"
    )


def _probe(module: nn.Module, lattice: Lattice, axis: int, windows: int) -> list[int]:
    """Shape that is probed: so many windows along an axis, and as little along the others as the module takes."""
    plan = lattice.plan
    thin = [min(w, max(s, 4 * c)) for w, s, c in zip(plan.window, plan.stride, lattice.cell, strict=True)]
    thin[axis] = plan.window[axis] * windows
    try:
        _run(module, torch.zeros(1, 1, *thin))
    except InputError:
        thin = list(plan.window)
        thin[axis] *= windows
    return thin


def _touched(module: nn.Module, lattice: Lattice, shape: Sequence[int], axis: int, voxel: int) -> tuple[int, int]:
    """First and last cell along an axis that a plane of voxels has an effect on."""
    values = torch.ones(1, 1, *shape)
    values.narrow(2 + axis, voxel, 1).fill_(torch.nan)
    wrong = _run(module, values).isnan().movedim(2 + axis, 0).flatten(1).any(1).nonzero()
    if not len(wrong):  # a voxel between cells that convolutions step over
        nearest = max(0, (voxel - lattice.gap[axis]) // lattice.cell[axis])
        return nearest, nearest
    return int(wrong[0]), int(wrong[-1])


def _run(module: nn.Module, values: Tensor) -> Tensor:
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    try:
        with torch.no_grad():
            found: Tensor = module(values.to(dtype))
    except (RuntimeError, ValueError, IndexError) as error:
        size = " × ".join(str(n) for n in values.shape[2:])
        raise InputError(
            f"trunk='shared' cannot be used: the network does not take a piece of {size} voxels "
            f"({(str(error).splitlines() or [''])[0]}), only windows; use trunk='exact'"
        ) from error
    return found


def disagreement(
    function: _Function,
    crop: Sequence[int],
    shift: Sequence[int],
    cell: Sequence[int],
    halo: Halo,
    device: torch.device,
    dtype: torch.dtype,
    beyond: Sequence[int] = (0, 0, 0),
) -> float:
    """How far what is computed of a crop of noise is from the crop of what is computed, where its border isn't seen.

    Parameters
    ----------
    function
        (1, 1, D, H, W) to (1, C, z, y, x).
    crop, shift
        Shape of the crop, and where it begins in the larger piece, in voxels; where that is 0 both begin at a border.
    cell
        Voxels a cell.
    halo
        Cells from which the crop's border is seen.
    device, dtype
        Of the noise.
    beyond
        How far the larger piece goes on behind the crop, in voxels.

    Returns
    -------
    float
        The largest difference, as a share of the largest value.
    """
    whole = [n + s + b for n, s, b in zip(crop, shift, beyond, strict=True)]
    values = torch.randn(1, 1, *whole, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    z, y, x = (slice(s, s + n) for s, n in zip(shift, crop, strict=True))
    with torch.no_grad():
        large, small = function(values)[0].float(), function(values[:, :, z, y, x].contiguous())[0].float()
    ends = zip(shift, halo.before, halo.behind, small.shape[1:], strict=True)
    inside = [slice(a if s else 0, n - b) for s, a, b, n in ends]
    steps = [s // c for s, c in zip(shift, cell, strict=True)]
    moved = [slice(i.start + s, i.stop + s) for i, s in zip(inside, steps, strict=True)]
    left, right = small[(slice(None), *inside)], large[(slice(None), *moved)]
    return float((left - right).abs().max()) / max(float(right.abs().max()), 1e-30)


def check_translation(trunk: _Function, lattice: Lattice, halo: Halo, device: torch.device, dtype: torch.dtype) -> None:
    """See that the trunk of a crop is the crop of the trunk, where its border isn't seen, a cell away.

    Raises
    ------
    InputError
        If it isn't: the trunk knows where a thing lies in the window.
    """
    reach = [max(a, b) for a, b in zip(halo.before, halo.behind, strict=True)]
    # some cells have to be left that don't see the crop's border, however coarse the pooling that strides follow
    sizes = zip(lattice.plan.window, lattice.plan.stride, reach, lattice.window, lattice.cell, strict=True)
    crop = [w + max(0, -(-(2 * r + 1 - h) * c // s) * s) for w, s, r, h, c in sizes]
    away = disagreement(trunk, crop, lattice.cell, lattice.cell, halo, device, dtype)
    if not away <= TOLERANCE:
        raise InputError(
            f"trunk='shared' cannot be used: what the layer says of a place changes by {away:.1%} when the window is "
            "moved, as with tables of positions, or pooling that doesn't follow the stride, so windows cannot share "
            "it; use trunk='exact'"
        )
    away = disagreement(trunk, crop, (0, 0, 0), lattice.cell, halo, device, dtype, beyond=lattice.cell)
    if not away <= TOLERANCE:
        raise InputError(
            f"trunk='shared' cannot be used: what the layer says at the volume's border changes by {away:.1%} with "
            "what lies at the other end, as with circular padding, so pieces of the volume cannot stand for it; use "
            "trunk='exact'"
        )
