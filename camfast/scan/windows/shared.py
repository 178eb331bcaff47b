"""The trunk ``shared``: once over the volume, with the head on windows of what it gives."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from camfast.errors import InputError, SplitError
from camfast.scan.windows.bricks import Brick, Slices, blocks_of, relative, tile_of
from camfast.scan.windows.density import Density
from camfast.scan.windows.difference import compared
from camfast.scan.windows.exact import Exact, Explained, Rows, as_tensor, cut_windows, explained, placement
from camfast.scan.windows.lattice import Lattice
from camfast.scan.windows.plan import Blend, Plan, Shape, blend_weights
from camfast.scan.windows.translation import check_translation, halo_of
from camfast.split import split
from camfast.targets import Unit

if TYPE_CHECKING:
    from camfast.engine import Explainer


class Shared:
    r"""Explains windows of the features F of a whole volume, by the head alone.

    .. math:: F = \mathrm{trunk}(V), \qquad L_i = \mathrm{map}\bigl(\mathrm{head}, F_{i}\bigr)

    with V the padded volume and F_i the cells of window i. At a window's border the trunk sees the window's real
    neighbours instead of the zeros that it pads a window with; at the volume's border it sees those zeros.

    Parameters
    ----------
    explainer
        Its model takes windows (N, 1, D, H, W).
    density
        Where the volume is read.
    lattice
        Where the cells lie.
    target
        What is explained.
    compare
        Windows that are explained exactly, too, bool (nz, ny, nx).

    Raises
    ------
    InputError
        If the features of a volume are not those of its windows: windows are normalised one by one, the model cannot
        be cut at the layer, or its trunk sees more than neighbours or knows where in the window it is.
    """

    def __init__(
        self, explainer: "Explainer", density: Density, lattice: Lattice, target: Any, compare: NDArray[np.bool_]
    ) -> None:
        self.device, self.dtype = placement(explainer.model)
        self.density, self.lattice, self.target = density, lattice, target
        self.compare, self.exact = compare, Exact(explainer, density, lattice.plan, target)
        self.trunk, head = halves(explainer, density, lattice.plan, target)
        self.explainer = _of_features(explainer, head)
        self.halo = halo_of(self.trunk, lattice)
        self.tile = math.prod(lattice.shape)  # cells that the trunk computes at a time at most, with their halo
        check_translation(self.trunk, lattice, self.halo, self.device, self.dtype)

    @property
    def plan(self) -> Plan:
        """Where the windows lie."""
        return self.lattice.plan

    def read(self, brick: Brick) -> Tensor:
        """Read the voxels that a brick's cells depend on."""
        voxels = self._voxels(brick.cells)
        return as_tensor(
            self.density.piece([axis.start for axis in voxels], [axis.stop - axis.start for axis in voxels]),
            self.device,
        )

    def begin(self, brick: Brick, values: Tensor) -> Tensor:
        """Compute the features of a brick's cells, (C, z, y, x), tile by tile."""
        values = values.to(self.device, self.dtype, non_blocking=True)
        outer = self._voxels(brick.cells)
        cells = _lengths(brick.cells)
        halo = _sum(self.halo.before, self.halo.behind)
        features: Tensor | None = None
        for block in blocks_of(cells, tile_of(cells, halo, self.tile)):
            wanted = _moved(block, brick.cells)
            voxels = self._voxels(wanted)
            with torch.no_grad():
                found = self.trunk(values[relative(voxels, outer)].contiguous()[None, None])[0]
            front = [w.start - v.start // c for w, v, c in zip(wanted, voxels, self.lattice.cell, strict=True)]
            kept = tuple(slice(f, f + w.stop - w.start) for f, w in zip(front, wanted, strict=True))
            if features is None:
                features = found.new_empty((found.shape[0], *cells))
            features[(slice(None), *block)] = found[(slice(None), *kept)]
        assert features is not None  # a brick has cells
        return features

    def explain(self, values: Tensor, origins: NDArray[np.int64]) -> Explained:
        """Explain the windows at these origins, (B, 3) in voxels, by the features of their cells."""
        inputs = cut_windows(values, origins // np.array(self.lattice.cell), self.lattice.window)
        return explained(self.explainer, inputs, self.target)

    def tapers(self, brick: Brick, rows: NDArray[np.int64], blend: Blend) -> list[tuple[NDArray[np.float64], Rows]]:
        """Weights of the cells of some of a brick's windows: the same for each."""
        return [(blend_weights(brick.lattice.window, blend), slice(0, len(rows)))]

    def facts(self, brick: Brick, values: Tensor, chosen: NDArray[np.int64]) -> dict[str, float]:
        """Explain the drawn ones of a brick's windows exactly, and compare; ``values`` is what `begin` returned."""
        rows = np.intersect1d(np.flatnonzero(self.compare[brick.windows]), chosen)
        return compared(self.exact, brick, rows, [self.explain(values, brick.origins[[row]]) for row in rows])

    def _voxels(self, cells: Slices) -> Slices:
        """Voxels that cells of the volume depend on, cut off at its padded border, where the trunk pads with zeros."""
        lattice, found = self.lattice, []
        for axis, span in enumerate(cells):
            cell, size = lattice.cell[axis], lattice.plan.padded[axis]
            rest = lattice.plan.window[axis] - lattice.window[axis] * cell  # where convolutions are valid
            begin = (span.start - self.halo.before[axis]) * cell
            end = span.stop * cell + max(rest, self.halo.behind[axis] * cell)
            found.append(slice(max(begin, 0), min(end, size)))
        z, y, x = found
        return z, y, x


def halves(explainer: "Explainer", density: Density, plan: Plan, target: Any) -> tuple[nn.Module, nn.Module]:
    """Cut the explainer's model at its layer, for a trunk that windows share.

    Raises
    ------
    InputError
        If it cannot be cut, or the options cannot be carried over; the message says why.
    """
    if density.normalize == "window":
        raise InputError(
            "trunk='shared' cannot be used with normalize='window': every window has values of its own then; use "
            "normalize='volume', or trunk='exact'"
        )
    if any(isinstance(one, Unit) for one in (target if isinstance(target, list | tuple) else [target])):
        raise InputError("trunk='shared' explains scores, and the target is a unit of another layer; use trunk='exact'")
    for name in ("reshape", "layer_output", "call"):
        if explainer.arguments[name] not in (None, -1):
            raise InputError(f"trunk='shared' cannot be used with {name}= of the explainer; use trunk='exact'")
    device, dtype = placement(explainer.model)
    example = torch.randn(1, 1, *plan.window, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    assert isinstance(explainer.layer, str)  # a scan refuses several
    try:
        return split(explainer.model, explainer.layer, example)
    except SplitError as error:
        raise InputError(f"trunk='shared' cannot be used: {error}; or use trunk='exact'") from error


def _of_features(explainer: "Explainer", head: nn.Module) -> "Explainer":
    """The same explainer for features instead of windows."""
    options = {
        "model": nn.Sequential(nn.Identity(), head),
        "layer": "0",
        "size": "grid",
        "head": None,
        "calibration": None,
    }
    if explainer.arguments["sigma"] == "auto":  # measured already, of the whole network; nothing is upsampled here
        options |= {"sigma": None, "upsample": "linear", "centres": None}
    return explainer.replace(**options)


def _moved(block: Slices, by: Slices) -> Slices:
    z, y, x = (slice(b.start + o.start, b.stop + o.start) for b, o in zip(block, by, strict=True))
    return z, y, x


def _lengths(region: Slices) -> Shape:
    z, y, x = (axis.stop - axis.start for axis in region)
    return z, y, x


def _sum(left: Shape, right: Shape) -> Shape:
    z, y, x = (a + b for a, b in zip(left, right, strict=True))
    return z, y, x
