"""Windows in, one coarse grid out: cutting the volume, and adding up the maps."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camfast.errors import InputError
from camfast.scan.plan import Blend, Plan, Shape, blend_weights
from camfast.scan.volumes import Volume, statistics

Normalize = Literal["volume", "window"] | None


class Windows:
    """The windows of a volume as the network wants them: float32 (B, 1, *window), normalised, reflected at the ends.

    Parameters
    ----------
    volume
        Read window by window (a Zarr array as a whole); its values are checked once, at the start.
    plan
        Where the windows lie.
    normalize
        ``"volume"``: (x − mean) / std of the whole volume, in float64. ``"window"``: of each window, a constant
        window becoming 0. None: values as they are.
    invert
        Change the sign, for networks trained on the other contrast.

    Raises
    ------
    InputError
        If the volume holds NaN or infinite values, or is constant and to be normalised.
    """

    def __init__(self, volume: Volume, plan: Plan, normalize: Normalize, *, invert: bool = False) -> None:
        if normalize not in ("volume", "window", None):
            raise InputError(f"normalize is {normalize!r}, expected 'volume', 'window' or None")
        # A Zarr array would unpack its chunks anew for every window that touches them.
        self.data = volume.data if isinstance(volume.data, np.ndarray) else np.asarray(volume.data[...])
        self.plan, self.normalize = plan, normalize
        self.sign = -1.0 if invert else 1.0
        mean, std = statistics(replace(volume, data=self.data))
        if std == 0 and normalize is not None:
            raise InputError(f"{volume.name}: every voxel is {mean:g}, so there is nothing to see; check the file")
        self.mean, self.std = (mean, std) if normalize == "volume" else (0.0, 1.0)

    def batch(self, origins: Sequence[Shape]) -> Tensor:
        """Cut the windows at these origins, (B, 1, *window)."""
        inputs = np.empty((len(origins), 1, *self.plan.window), np.float32)
        for row, origin in enumerate(origins):
            cut = self._cut(origin)
            mean, std = (cut.mean(), cut.std() or 1.0) if self.normalize == "window" else (self.mean, self.std)
            cut -= mean
            cut *= self.sign / std
            inputs[row, 0] = cut
        return torch.from_numpy(inputs)

    def _cut(self, origin: Shape) -> NDArray[np.float64]:
        """Copy one window, reflected where it reaches over the volume's end."""
        ends = [first + w for first, w in zip(origin, self.plan.window, strict=True)]
        if all(end <= d for end, d in zip(ends, self.plan.shape, strict=True)):
            z, y, x = (slice(first, end) for first, end in zip(origin, ends, strict=True))
            return np.array(self.data[z, y, x], dtype=np.float64)
        spans = [np.arange(first, end) for first, end in zip(origin, ends, strict=True)]
        reflected = [
            np.where(span < d, span, 2 * (d - 1) - span) for span, d in zip(spans, self.plan.shape, strict=True)
        ]
        # Reflection may reach back in front of the window; what is read starts there.
        first = [int(index.min()) for index in reflected]
        piece = self.data[tuple(slice(f, int(index.max()) + 1) for f, index in zip(first, reflected, strict=True))]
        local = np.ix_(*(index - f for f, index in zip(first, reflected, strict=True)))
        window: NDArray[np.float64] = np.asarray(piece, dtype=np.float64)[local]
        return window


class Blender:
    """Adds the grid maps of windows into one grid of the padded volume, in float64 and in the order they come.

    Parameters
    ----------
    plan
        Where the windows lie.
    cell
        Voxels per grid cell.
    blend
        ``"center"``, ``"mean"``: weighted sum over summed weights. ``"sum"``: plain sum. ``"max"``: largest value.
    targets
        Number of targets T, None for one map a window.
    """

    def __init__(self, plan: Plan, cell: Shape, blend: Blend, targets: int | None) -> None:
        self.cell, self.blend = cell, blend
        self.window = tuple(w // c for w, c in zip(plan.window, cell, strict=True))
        self.kernel = blend_weights(self.window, blend)
        shape = tuple(p // c for p, c in zip(plan.padded, cell, strict=True))
        self.total = np.full((*(() if targets is None else (targets,)), *shape), -np.inf if blend == "max" else 0.0)
        self.weight = np.zeros(shape)

    def add(self, origin: Shape, grid: NDArray[Any]) -> None:
        """Add one window's map, ([T,] *grid), at a window's origin in voxels."""
        z, y, x = (slice(o // c, o // c + h) for o, c, h in zip(origin, self.cell, self.window, strict=True))
        part = self.total[..., z, y, x]
        if self.blend == "max":
            np.maximum(part, grid, out=part)
        else:
            part += self.kernel * grid
        self.weight[z, y, x] += self.kernel

    def result(self) -> NDArray[np.float64]:
        """Return the blended grid, ([T,] *grid); 0 where no window was added."""
        covered = self.weight > 0
        divisor = np.where(covered, self.weight, 1.0) if self.blend in ("center", "mean") else 1.0
        return np.where(covered, self.total / divisor, 0.0)
