"""Operations that look through a window, and those that make a grid finer: the arithmetic of receptive fields.

A window of k cells, d apart, behind p cells of padding, is centred at (k − 1) d / 2 − p.
"""

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from camfast.grids.axes import Entry, Grid, Lost, Number, moved
from camfast.grids.rules import Call, follows

_RANKS = "123"


def _names(pattern: str) -> str:
    """The names of an operation of one to three dimensions."""
    return " ".join(pattern.replace("#", rank) for rank in _RANKS)


def _rank(call: Call) -> int:
    found = re.search(r"(\d)d", call.name)
    assert found is not None, call.name
    return int(found[1])


def _each(value: Any, rank: int) -> list[int]:
    values = list(value) if isinstance(value, Sequence) else [value]
    return values * rank if len(values) == 1 else values


def _with_last(call: Call, steps: Sequence[tuple[Number, Number]]) -> Grid:
    """The main operand's grid with each of its last dimensions moved by an (offset, factor)."""
    lead, last = call.main.grid[: -len(steps)], call.main.grid[-len(steps) :]
    return (*lead, *(moved(entry, *step, call.where) for entry, step in zip(last, steps, strict=True)))


def _windows(
    kernel: Iterable[int], stride: Iterable[int], padding: Iterable[int], dilation: Iterable[int]
) -> list[tuple[Number, Number]]:
    sizes = zip(kernel, stride, padding, dilation, strict=True)
    return [(Fraction((k - 1) * d, 2) - p, s) for k, s, p, d in sizes]


@follows("convolution")
def _convolution(call: Call) -> Grid:
    kernel = call.arguments["weight"].shape[2:]
    options = (_each(call.arguments[key], len(kernel)) for key in ("stride", "padding", "dilation"))
    steps = _windows(kernel, *options)
    if call.arguments["transposed"]:
        steps = [(-middle / Fraction(stride), 1 / Fraction(stride)) for middle, stride in steps]
    return (None, None, *_with_last(call, steps)[2:])


@follows(_names("avg_pool#d max_pool#d max_pool#d_with_indices "))
def _pool(call: Call) -> list[Grid]:
    rank = _rank(call)
    kernel, padding, dilation = (
        _each(call.arguments.get(key, 1), rank) for key in ("kernel_size", "padding", "dilation")
    )
    stride = _each(call.arguments["stride"], rank) or kernel
    return [_with_last(call, _windows(kernel, stride, padding, dilation))] * len(call.results)


@follows(_names("adaptive_avg_pool#d _adaptive_avg_pool#d adaptive_max_pool#d "))
def _adaptive_pool(call: Call) -> list[Grid]:
    rank = _rank(call)
    cells, left = call.main.shape[-rank:], call.results[0][-rank:]
    grid = list(
        _with_last(call, [(Fraction(c // n - 1, 2), c // n) if n else (0, 1) for c, n in zip(cells, left, strict=True)])
    )
    for axis, (before, after) in enumerate(zip(cells, left, strict=True), start=len(grid) - rank):
        pooled = before > 1 and after == 1
        if (pooled or before % after) and grid[axis] is not None:
            grid[axis] = Lost(f"{call.where}, which makes {after} of {before} cells")
    return [tuple(grid)] * len(call.results)


@follows("constant_pad_nd " + _names("reflection_pad#d replication_pad#d "))
def _pad(call: Call) -> Grid:
    pad = call.arguments["pad" if "pad" in call.arguments else "padding"]
    return _with_last(call, [(-int(before), 1) for before in pad[::2][::-1]])


@follows(
    "upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d "
    "_upsample_bilinear2d_aa _upsample_bicubic2d_aa " + _names("upsample_nearest#d _upsample_nearest_exact#d ")
)
def _upsample(call: Call) -> Grid:
    rank = _rank(call)
    cells, pixels = call.main.shape[-rank:], call.results[0][-rank:]
    keys = ("scales",) if rank == 1 else ("scales_d", "scales_h", "scales_w")[-rank:]
    steps: list[tuple[Number, Number]] = []
    for before, after, key in zip(cells, pixels, keys, strict=True):
        scale = call.arguments[key]
        ratio = Fraction(before, after) if scale is None else 1 / Fraction(scale).limit_denominator(10**4)
        above, below = ratio.as_integer_ratio()
        exact = "exact" in call.name
        if call.arguments.get("align_corners"):
            steps.append((0, Fraction(before - 1, after - 1) if before > 1 and after > 1 else ratio))
        elif "nearest" in call.name and (not exact or above % 2 == 0):
            # the mean over the pixels of ⌊i · ratio⌋, or of ⌊(i + ½) · ratio⌋
            steps.append((Fraction(1 - below + above * exact, 2 * below), ratio))
        else:
            steps.append(((ratio - 1) / 2, ratio))
    return _with_last(call, steps)


@follows(_names("max_unpool#d ") + "pixel_shuffle")
def _finer(call: Call) -> Grid:
    rank = 2 if call.name == "pixel_shuffle" else _rank(call)
    sizes = zip(call.main.shape[-rank:], call.results[0][-rank:], strict=True)
    ratios = [Fraction(before, after) for before, after in sizes]
    return _with_last(call, [((ratio - 1) / 2, ratio) for ratio in ratios])


@follows("pixel_unshuffle")
def _coarser(call: Call) -> Grid:
    factor = call.arguments["downscale_factor"]
    return _with_last(call, [(Fraction(factor - 1, 2), factor)] * 2)


@follows(
    "all amax amin any linalg_vector_norm logsumexp max mean median min nansum norm prod std std_mean sum var var_mean"
)
def _reduction(call: Call) -> list[Grid]:
    grid, given = call.main.grid, call.arguments.get("dim")
    dims = range(len(grid)) if given is None or given == [] else given if isinstance(given, list) else [given]
    gone = {dim % len(grid) for dim in dims if grid}
    lost = Lost(call.where) if any(grid[dim] is not None for dim in gone) else None
    # channels tell where the places went, samples don't: they may stand beside those of tensors that keep theirs
    kept: list[Entry] = [lost if dim in gone else entry or (lost if dim else None) for dim, entry in enumerate(grid)]
    if not call.arguments.get("keepdim"):
        kept = [entry for dim, entry in enumerate(kept) if dim not in gone]
    return [tuple(kept) if len(shape) == len(kept) else (lost,) * len(shape) for shape in call.results]
