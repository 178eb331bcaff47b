"""The trunk ``shared`` of networks that label every voxel: blocks with a halo, whose inner parts lie side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError
from camfast.regions import Predicted, Region
from camfast.scan.windows.bricks import Brick
from camfast.scan.windows.density import Density
from camfast.scan.windows.exact import Exact, Rows
from camfast.scan.windows.lattice import Lattice
from camfast.scan.windows.plan import AXES, Blend
from camfast.scan.windows.translation import TOLERANCE, disagreement, halo_of

if TYPE_CHECKING:
    from camfast.engine import Explainer

LOCAL = ("hirescam", "elementwise", "layercam", "extended")
"""Methods whose map at a place depends on activations and gradients there alone."""


class Blocks(Exact):
    """Explains windows of a network that gives a score for every class and voxel, and takes their inner parts.

    A score depends on the voxels within R of it, and the map at a place on the scores within R of it: 2R voxels of halo
    give what the network would say of the whole volume at once, without windows that overlap by half.

    Parameters
    ----------
    explainer, density, target
        As for `Exact`.
    lattice
        Where the cells lie.

    Raises
    ------
    InputError
        If the halo that window and stride leave is too small, the method's map is not local, the target looks at the
        whole window, or the network's answer depends on where in the window a thing lies.
    """

    def __init__(self, explainer: "Explainer", density: Density, lattice: Lattice, target: Any) -> None:
        super().__init__(explainer, density, lattice.plan, target)
        _check(explainer, density, target)
        plan = lattice.plan
        scores = Lattice(plan, (1, 1, 1), plan.window, (0, 0, 0))
        halo = halo_of(explainer.model, scores)
        reach = [max(a, b) for a, b in zip(halo.before, halo.behind, strict=True)]
        for axis, w, s, r in zip(AXES, plan.window, plan.stride, reach, strict=True):
            if w - s < 4 * r:
                raise InputError(
                    f"trunk='shared' cannot be used with a window of {w} and a stride of {s} voxels along {axis}: the "
                    f"network looks {r} voxels far, so blocks need a halo of {2 * r} on each side; choose a window of "
                    f"{s + 4 * r}, or more and larger strides, or trunk='exact'"
                )
        away = disagreement(explainer.model, plan.window, plan.stride, (1, 1, 1), halo, self.device, self.dtype)
        if not away <= TOLERANCE:
            raise InputError(
                f"trunk='shared' cannot be used: what the network says of a place changes by {away:.1%} from one "
                f"window to the next, {' × '.join(map(str, plan.stride))} voxels away, as where strides are no "
                "multiples of its pooling; choose other strides, or trunk='exact'"
            )

    def tapers(self, brick: Brick, rows: NDArray[np.int64], blend: Blend) -> list[tuple[NDArray[np.float64], Rows]]:  # noqa: ARG002 - inner parts don't overlap
        """Weights of the cells of some of a brick's windows: 1 in the middle, and up to the volume's ends."""
        index = np.stack(np.unravel_index(rows, brick.counts), 1) + np.array(brick.first)
        ends = np.stack([index == 0, index == np.array(brick.lattice.plan.counts) - 1], 2)
        kinds, which = np.unique(ends.reshape(len(rows), -1), axis=0, return_inverse=True)
        found: list[tuple[NDArray[np.float64], Rows]] = []
        for number, kind in enumerate(kinds.reshape(-1, 3, 2).tolist()):
            found.append((_inner(brick.lattice, kind), np.flatnonzero(which.ravel() == number)))
        return found


def _inner(lattice: Lattice, ends: Sequence[Sequence[bool]]) -> NDArray[np.float64]:
    """1 for the middle cells of a window; along each axis it may be the first and the last one of the volume."""
    weights = np.ones(lattice.window)
    sizes = zip(lattice.window, lattice.plan.stride, lattice.cell, ends, strict=True)
    for axis, (h, s, c, (first, last)) in enumerate(sizes):
        begin = 0 if first else (h - s // c) // 2
        end = h if last else (h - s // c) // 2 + s // c
        line = np.zeros(h)
        line[begin:end] = 1
        weights *= line.reshape([-1 if other == axis else 1 for other in range(3)])
    return weights


def _check(explainer: "Explainer", density: Density, target: Any) -> None:
    if density.normalize == "window":
        raise InputError("trunk='shared' cannot be used with normalize='window'; use 'volume', or trunk='exact'")
    if explainer.method not in LOCAL:
        raise InputError(
            f"trunk='shared' of a network that labels voxels needs a method that is local, one of {', '.join(LOCAL)}; "
            f"the channel weights of {explainer.method} are means over a window: use trunk='exact'"
        )
    for one in target if isinstance(target, list | tuple) else [target]:
        where = getattr(one, "where", None)
        if not isinstance(one, Region) or not (where in ("image", "predicted") or isinstance(where, Predicted)):
            raise InputError(
                f"trunk='shared' of a network that labels voxels explains camfast.Region(class, 'image' or "
                f"'predicted' or camfast.predicted(threshold)), and the target is {one!r}; use trunk='exact'"
            )
