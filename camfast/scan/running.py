"""The network's part of a scan: windows through it, batch after batch, their maps added up."""

import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camfast.errors import CamfastError, IllConditionedWarning, InputError, came_from_network
from camfast.scan.blending import Blender, Windows
from camfast.scan.plan import Blend, Plan, Shape, grid_cell, plan_windows
from camfast.scan.progress import Progress
from camfast.scan.volumes import Volume

if TYPE_CHECKING:
    from camfast.engine import Explainer


class Run:
    """The state of a scan: one window is explained at the start to learn the grid's and the output's shape."""

    def __init__(self, explainer: "Explainer", plan: Plan, windows: Windows, target: Any, blend: Blend) -> None:
        self.explainer, self.upsampling = explainer.replace(size="grid"), explainer.upsampling
        self.plan, self.windows, self.target = plan, windows, target
        self.device, self.dtype = _placement(explainer.model)
        self.ill_conditioned = 0
        grid, scores = self._first_window()
        if grid.ndim not in (4, 5):
            raise InputError(f"a window's map has the shape {tuple(grid.shape[1:])}, expected ([T,] z, y, x)")
        self.targets = grid.shape[1] if grid.ndim == 5 else None
        self.blender = Blender(plan, grid_cell(plan, grid.shape[-3:]), blend, self.targets)
        self.scores = torch.full((*plan.counts, scores.shape[1]), math.nan)

    def _first_window(self) -> tuple[NDArray[Any], Tensor]:
        """Explain one window: what a person chose wrongly shows here, before hours of computing."""
        try:
            grid, scores, _ = self._explain(self.plan.origins()[:1])
        except (CamfastError, torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:
            found = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            network = f"the network {type(self.explainer.model).__name__}"
            window = " × ".join(str(length) for length in self.plan.window)
            if isinstance(error, RuntimeError):
                raise InputError(
                    f"{network} does not take a window of {window} voxels ({found}); choose the one it was trained with"
                ) from error
            if came_from_network(error):
                raise InputError(f"{network} raised {found}; it was given a window of {window} voxels") from error
            if isinstance(error, ValueError):
                raise InputError(str(error)) from error
            raise
        return grid, scores

    def _explain(self, origins: list[Shape]) -> tuple[NDArray[Any], Tensor, NDArray[np.bool_]]:
        """Return maps on the grid (B, [T,] z, y, x), scores (B, C), and which windows are ill-conditioned (B,)."""
        inputs = self.windows.batch(origins).to(self.device, self.dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IllConditionedWarning)  # said once, for all windows, at the end
            result = self.explainer(inputs, self.target)
        scores = result.scores.detach().float().reshape(len(origins), -1).cpu()
        grid = result.grid.detach().cpu().numpy()
        self._check_finite(origins, grid, scores)
        return grid, scores, result.ill_conditioned.cpu().numpy()

    def _check_finite(self, origins: list[Shape], grid: NDArray[Any], scores: Tensor) -> None:
        """Name the first window without a usable map; a score of −inf alone, as of a logarithm, is none of those."""
        for origin, one, score in zip(origins, grid, scores, strict=True):
            finite = bool(np.isfinite(one).all())
            if finite and not bool(score.isnan().any()):
                continue
            where = f"window at voxel (z, y, x) = {origin}"
            if not bool(score.isfinite().all()):
                raise InputError(
                    f"{where}: the network's scores are not finite (NaN or infinite), so there is nothing to explain; "
                    "check its weights and how the volume is normalised"
                )
            channels = one.reshape(one.shape[0], -1) if one.ndim == 4 else one.reshape(1, -1)
            wrong = [i for i, values in enumerate(channels) if not np.isfinite(values).all()]
            which = f" of target number {wrong[0]}" if one.ndim == 4 else ""
            raise InputError(
                f"{where}: the network's scores are finite, but the map{which} is not (NaN or infinite); "
                "choose another layer or method"
            )

    def all_windows(self, batch: int, chosen: NDArray[np.bool_] | None, *, progress: bool) -> None:
        """Explain the chosen windows in batches of one size and add up their maps."""
        origins = self.plan.origins()
        numbers = np.arange(len(origins)) if chosen is None else np.flatnonzero(chosen)
        flat = self.scores.view(len(origins), -1)
        with Progress(math.prod(self.plan.shape), len(numbers), shown=progress) as bar:
            for first in range(0, len(numbers), batch):
                part = numbers[first : first + batch]
                filled = [origins[i] for i in part] + [origins[part[-1]]] * (batch - len(part))
                grids, scores, ill = self._explain(filled)
                self.ill_conditioned += int(ill[: len(part)].sum())
                for row, number in enumerate(part):
                    self.blender.add(origins[number], grids[row])
                flat[part] = scores[: len(part)]
                bar.windows(len(part))
        if self.ill_conditioned:
            warnings.warn(
                f"layer {self.explainer.layer!r}: in {self.ill_conditioned:,} of {len(numbers):,} windows channel "
                "weights divide by a small difference of large activations, and their maps may be noise blown up; "
                "explain the output of the ReLU behind the layer, or use hirescam or gradcam",
                IllConditionedWarning,
                stacklevel=3,
            )

    def maps(self) -> Iterator[Tensor]:
        """Maps of the volume, float32 (z, y, x), one target at a time."""
        grid = torch.from_numpy(self.blender.result()).float()
        depth, height, width = self.plan.shape
        for coarse in grid[None] if self.targets is None else grid:
            fine = self.upsampling.apply(coarse[None].to(self.device), self.plan.padded, backend=self.explainer.backend)
            fine = fine[0, :depth, :height, :width].cpu().contiguous()
            if not bool(fine.isfinite().all()):
                raise InputError(
                    "the windows' maps are finite, but their blend is too large for float32; "
                    "choose the blend center or mean, or another method"
                )
            yield fine


def _placement(model: torch.nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and type of a model's parameters, which its windows have to share."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            return parameter.device, parameter.dtype
    return torch.device("cpu"), torch.float32


def rehearse(explainer: "Explainer", plan: Plan, target: Any, blend: Blend) -> int | None:
    """Explain one window of noise; return the number of targets, None for a single map.

    Raises
    ------
    InputError
        If network, layer, method, target, window and stride do not fit each other.
    """
    noise = Volume(np.random.default_rng(0).standard_normal(plan.window, np.float32))
    one = plan_windows(plan.window, plan.window, plan.stride)
    return Run(explainer, one, Windows(noise, one, None), target, blend).targets
