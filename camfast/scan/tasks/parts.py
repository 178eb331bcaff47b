"""What bricks give: their windows' maps added up on the cells that they touch, and kept until they are needed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from camfast import ops
from camfast._whole import write_whole as write_whole
from camfast.errors import InputError
from camfast.scan.windows.bricks import Brick, Slices, relative
from camfast.scan.windows.exact import Explained, Rows, check_finite, window_cells
from camfast.scan.windows.plan import Blend


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """The sum over a brick's windows.

    Parameters
    ----------
    total
        Σ b·L, float64 (T, z, y, x) on the brick's cells; the largest L for the blend ``max``, −∞ where no window was.
    weight
        Σ b, float64 (z, y, x); 0 where no window was.
    scores
        The network's output for each window, float32 (windows, C); NaN for those left out.
    facts
        ``windows`` explained, how many of them ``ill_conditioned``, and the sums of |y − ΣL| and |y| over their maps:
        ``residual`` and ``score``; and what its source says.
    """

    total: Tensor
    weight: Tensor
    scores: Tensor
    facts: dict[str, float]


class Source(Protocol):
    """Where explained windows come from: the trunk ``exact`` or ``shared``."""

    device: torch.device

    def read(self, brick: Brick) -> Tensor:
        """Read what a brick needs, without the network."""

    def begin(self, brick: Brick, values: Tensor) -> Tensor:
        """Make of it what windows are cut from."""

    def explain(self, values: Tensor, origins: NDArray[np.int64]) -> Explained:
        """Explain the windows at some origins."""

    def tapers(self, brick: Brick, rows: NDArray[np.int64], blend: Blend) -> list[tuple[NDArray[np.float64], Rows]]:
        """Weights of the cells of some of a brick's windows, and which of these have them."""

    def facts(self, brick: Brick, values: Tensor, chosen: NDArray[np.int64]) -> dict[str, float]:
        """Say what more there is to say of a brick's windows, by sums."""


def compute(
    source: Source,
    brick: Brick,
    values: Tensor,
    chosen: NDArray[np.bool_] | None,
    batch: int,
    blend: Blend,
    advance: Callable[[int], None],
) -> Part:
    """Explain a brick's windows in batches of one size, and add up their maps in the order of the windows."""
    count = len(brick.origins)
    numbers = np.arange(count) if chosen is None else np.flatnonzero(chosen[brick.windows])
    size = min(batch, count)
    ready = source.begin(brick, values) if len(numbers) else values
    part: Part | None = None
    facts = dict.fromkeys(("windows", "ill_conditioned", "residual", "score"), 0.0)
    for first in range(0, len(numbers), size):
        rows = numbers[first : first + size]
        filled = np.concatenate([rows, np.repeat(rows[-1:], size - len(rows))])
        result = source.explain(ready, brick.origins[filled])
        grids = result.grids if result.grids.ndim == 5 else result.grids[:, None]
        check_finite(brick.origins[filled] + np.array(brick.origin), result)
        if part is None:
            part = _empty(brick, blend, grids.shape[1], result.scores.shape[1], source.device)
        cells = window_cells(brick, rows, source.device)
        for taper, own in source.tapers(brick, rows, blend):
            _add(part, grids[: len(rows)][own], cells[own], torch.from_numpy(taper).to(source.device), blend)
        part.scores[rows] = result.scores[: len(rows)]
        _count(facts, result, len(rows))
        advance(len(rows))
    if part is None:
        return Part(torch.empty(0), torch.empty(0), torch.empty(0), facts)
    facts |= source.facts(brick, ready, numbers)
    return Part(part.total.cpu(), part.weight.cpu(), part.scores, facts)


def _add(part: Part, grids: Tensor, cells: Tensor, taper: Tensor, blend: Blend) -> None:
    ops.window_sum(part.total, grids, cells, taper, blend="max" if blend == "max" else "mean", out=part.total)
    ones = taper.new_ones((len(cells), 1, *taper.shape))
    ops.window_sum(part.weight[None], ones, cells, taper, out=part.weight[None])


def _empty(brick: Brick, blend: Blend, targets: int, classes: int, device: torch.device) -> Part:
    cells = [axis.stop - axis.start for axis in brick.cells]
    start = -torch.inf if blend == "max" else 0.0
    return Part(
        torch.full((targets, *cells), start, dtype=torch.float64, device=device),
        torch.zeros(cells, dtype=torch.float64, device=device),
        torch.full((len(brick.origins), classes), torch.nan),
        {},
    )


def _count(facts: dict[str, float], result: Explained, count: int) -> None:
    residual = result.residual[:count].double().reshape(count, -1)
    sums = result.grids[:count].double().sum((-3, -2, -1)).reshape(count, -1)
    facts["windows"] += count
    facts["ill_conditioned"] += int(result.ill_conditioned[:count].sum())
    facts["residual"] += float(residual.abs().sum())
    facts["score"] += float((residual + sums).abs().sum())


class MemoryParts:
    """Parts kept in memory."""

    def __init__(self) -> None:
        self._parts: dict[int, Part] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._parts

    def save(self, number: int, part: Part) -> None:
        """Keep a brick's part."""
        self._parts[number] = part

    def facts(self, number: int) -> dict[str, float]:
        """What was counted in a brick."""
        return self._parts[number].facts

    def scores(self, number: int) -> Tensor:
        """Scores of a brick's windows; empty where none was explained."""
        return self._parts[number].scores

    def cut(self, number: int, target: int, cells: Slices) -> tuple[Tensor, Tensor] | None:
        """Total and weight of some of a brick's own cells; None where no window was explained."""
        part = self._parts[number]
        return (part.total[(target, *cells)], part.weight[cells]) if part.total.numel() else None


class FolderParts:
    """Parts kept in a folder, a file each, which stands there only when it is whole.

    Parameters
    ----------
    folder
        Exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __contains__(self, number: int) -> bool:
        return self._path(number).exists()

    def save(self, number: int, part: Part) -> None:
        """Write a brick's part."""
        tensors = {name: getattr(part, name).contiguous() for name in ("total", "weight", "scores")}
        write_whole(self._path(number), save(tensors, metadata={"facts": json.dumps(part.facts)}))

    def facts(self, number: int) -> dict[str, float]:
        """What was counted in a brick."""
        with self._opened(number) as file:
            found: dict[str, float] = json.loads(file.metadata()["facts"])
        return found

    def scores(self, number: int) -> Tensor:
        """Scores of a brick's windows; empty where none was explained."""
        with self._opened(number) as file:
            scores: Tensor = file.get_tensor("scores")
        return scores

    def cut(self, number: int, target: int, cells: Slices) -> tuple[Tensor, Tensor] | None:
        """Total and weight of some of a brick's own cells; None where no window was explained."""
        with self._opened(number) as file:
            total, weight = file.get_slice("total"), file.get_slice("weight")
            if 0 in total.get_shape():
                return None
            z, y, x = cells
            return total[target : target + 1, z, y, x][0], weight[z, y, x]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:07d}.safetensors"

    def _opened(self, number: int) -> Any:
        try:
            return safe_open(self._path(number), framework="pt")
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"{self._path(number)}: what was kept of a scan is damaged ({error}); remove it, and scan again"
            ) from error


Parts = MemoryParts | FolderParts


def touching(bricks: list[Brick], cells: Slices) -> Iterator[tuple[Brick, Slices, Slices]]:
    """Bricks that share cells with a region, in their order: each with these cells as its own, and as the region's."""
    for brick in bricks:
        z, y, x = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(brick.cells, cells, strict=True))
        if all(axis.start < axis.stop for axis in (z, y, x)):
            yield brick, relative((z, y, x), brick.cells), relative((z, y, x), cells)
