"""How far a trunk looks, and whether it gives the same wherever a thing lies: what a shared trunk has to hold."""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from camfast.errors import InputError
from camfast.scan.lattice import Lattice
from camfast.scan.plan import AXES, Shape

# Of the largest activation: what sums in another order may differ by, and a trunk that isn't the same elsewhere won't.
TOLERANCE = 1e-3
_FARTHEST = 4  # windows: a trunk that looks farther is taken to look everywhere
_Trunk = Callable[[Tensor], Tensor]


class Halo(NamedTuple):
    """Cells that a trunk has to be given around those that are wanted, in front of them and behind, (z, y, x)."""

    before: Shape
    behind: Shape


def halo_of(trunk: nn.Module, lattice: Lattice) -> Halo:
    """Measure how many cells away a trunk looks, by voxels that are no number: they spread as far as they are seen.

    Raises
    ------
    InputError
        If every cell depends on every voxel: normalisation over the window, squeeze-and-excitation, attention.
    """
    probed = copy.deepcopy(trunk).cpu()  # on a GPU convolutions by Fourier transforms would spread them everywhere
    before, behind = zip(*(_reach(probed, lattice, axis) for axis in range(3)), strict=True)
    return Halo(before, behind)


def _reach(trunk: nn.Module, lattice: Lattice, axis: int) -> tuple[int, int]:
    cell = lattice.cell[axis]
    for windows in range(2, _FARTHEST + 1):
        shape = list(lattice.plan.window)
        shape[axis] *= windows
        middle = shape[axis] // cell // 2
        last = _touched(trunk, lattice, shape, axis, (middle + 1) * cell - 1)
        first = _touched(trunk, lattice, shape, axis, middle * cell)
        cells = (shape[axis] - lattice.plan.window[axis]) // cell + lattice.window[axis]
        if first[0] > 0 and last[1] < cells - 1:
            return max(last[1] - middle, 0), max(middle - first[0], 0)
    raise InputError(
        f"trunk='shared' cannot be used: a cell of the layer depends on every voxel along {AXES[axis]}, as with "
        "normalisation over the window, squeeze-and-excitation, attention or global pooling in front of the layer, so "
        "windows cannot share what it computes; use trunk='exact'"
    )


def _touched(trunk: _Trunk, lattice: Lattice, shape: Sequence[int], axis: int, voxel: int) -> tuple[int, int]:
    """First and last cell along an axis that a plane of voxels has an effect on."""
    values = torch.ones(1, 1, *shape, dtype=_dtype(trunk))
    values.narrow(2 + axis, voxel, 1).fill_(torch.nan)
    try:
        with torch.no_grad():
            found = trunk(values)
    except (RuntimeError, ValueError, IndexError) as error:
        size = " × ".join(str(n) for n in shape)
        raise InputError(
            f"trunk='shared' cannot be used: what is in front of the layer does not take a piece of {size} voxels "
            f"({(str(error).splitlines() or [''])[0]}), only windows; use trunk='exact'"
        ) from error
    wrong = found.isnan().movedim(2 + axis, 0).flatten(1).any(1).nonzero()
    if not len(wrong):
        gap = lattice.gap[axis]
        nearest = max(0, (voxel - gap) // lattice.cell[axis])
        return nearest, nearest
    return int(wrong[0]), int(wrong[-1])


def _dtype(trunk: _Trunk) -> torch.dtype:
    floating = (p.dtype for p in trunk.parameters() if p.is_floating_point()) if isinstance(trunk, nn.Module) else ()
    return next(iter(floating), torch.float32)


def check_translation(trunk: _Trunk, lattice: Lattice, halo: Halo, device: torch.device, dtype: torch.dtype) -> None:
    """See that the trunk of a crop is the crop of the trunk, where its border isn't seen.

    Raises
    ------
    InputError
        If it isn't: the trunk knows where a thing lies in the window.
    """
    plan, cell = lattice.plan, lattice.cell
    reach = [max(a, b) for a, b in zip(halo.before, halo.behind, strict=True)]
    # a crop that keeps some cells which don't see its border, one cell into a larger piece
    crop = [
        max(w, w + (2 * r + 1 - h) * c) for w, r, h, c in zip(plan.window, reach, lattice.window, cell, strict=True)
    ]
    whole = [n + 2 * c for n, c in zip(crop, cell, strict=True)]
    values = torch.randn(1, 1, *whole, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    z, y, x = (slice(c, c + n) for c, n in zip(cell, crop, strict=True))
    with torch.no_grad():
        large, small = trunk(values)[0].float(), trunk(values[:, :, z, y, x].contiguous())[0].float()
    cells = [slice(a, n - b) for a, b, n in zip(halo.before, halo.behind, small.shape[1:], strict=True)]
    shifted = [slice(s.start + 1, s.stop + 1) for s in cells]
    left, right = small[(slice(None), *cells)], large[(slice(None), *shifted)]
    away = float((left - right).abs().max()) / max(float(right.abs().max()), 1e-30)
    if not away <= TOLERANCE:
        raise InputError(
            f"trunk='shared' cannot be used: what the layer says of a place changes by {away:.1%} when the window is "
            "moved, as with tables of positions, or pooling that doesn't follow the stride, so windows cannot share "
            "it; use trunk='exact'"
        )
