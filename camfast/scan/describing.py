"""What a scan would take, from shapes and a pass of noise: no value of the volume is read."""

import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camfast.scan.preparing import Asked, Planned, planned, trunk_of
from camfast.scan.volumes import Volume
from camfast.scan.windows.bricks import blocks_of
from camfast.scan.windows.density import Density
from camfast.scan.windows.exact import Exact
from camfast.scan.windows.footprint import operations
from camfast.scan.windows.shared import Shared
from camfast.scan.windows.sizes import Sizes, brick_bytes, budget, bytes_of, choose, window_bytes


def describe(asked: Asked) -> dict[str, Any]:
    """Say what a scan would take: windows, passes, operations, bytes of input and output, memory, and time.

    Memory and time are estimates: what one pass on noise takes, times the number of passes.

    Raises
    ------
    InputError
        What the scan itself would refuse, short of looking at the volume's values.
    """
    plan = planned(asked)
    limit = bytes_of(asked.max_memory)
    source = _source(plan)
    batch = None if asked.batch == "auto" else int(asked.batch)
    sizes = choose(source, plan.lattice, plan.first, batch, budget(limit), limit)
    windows = plan.plan.windows if plan.chosen is None else int(plan.chosen.sum())
    itemsize = np.dtype(plan.source.data.dtype).itemsize
    return {
        "shape": list(plan.source.shape),
        "voxel_angstrom": None if plan.source.voxel_angstrom is None else list(plan.source.voxel_angstrom),
        "padded": list(plan.plan.padded),
        "windows": windows,
        "windows_zyx": list(plan.plan.counts),
        "passes": -(-windows // sizes.batch),
        "batch": sizes.batch,
        "targets": plan.targets or 1,
        "input_bytes": math.prod(plan.source.shape) * itemsize,
        "cam_bytes_per_target": math.prod(plan.source.shape) * np.dtype(asked.dtype).itemsize,
        "flop": _operations(source, plan, windows),
        "memory_bytes": _memory(source, plan, sizes),
        "seconds": round(_seconds(source, plan, sizes, windows), 3),
    }


def _source(plan: Planned) -> Exact | Shared:
    noise = torch.randn(plan.plan.window, generator=torch.Generator().manual_seed(0)).numpy()
    # the volume's own normalisation: a trunk that cannot be shared says so here
    density = Density(Volume(noise), plan.asked.normalize)
    return trunk_of(plan, density)


def _values(source: Exact | Shared) -> Tensor:
    """One window of noise, as windows are cut from."""
    values = torch.randn(source.plan.window, generator=torch.Generator().manual_seed(0)).to(source.device)
    if isinstance(source, Exact):
        return values
    with torch.no_grad():
        features: Tensor = source.trunk(values[None, None].to(source.dtype))
    return features[0]


def _operations(source: Exact | Shared, plan: Planned, windows: int) -> int:
    """Of the predictions alone: the forward pass of every window, or of the volume and every head."""
    noise = torch.randn(1, 1, *plan.plan.window).to(source.device, source.dtype)
    with torch.no_grad():
        if isinstance(source, Exact):
            model = source.explainer.model
            each: int = operations(lambda: model(noise))
            return windows * each
        trunk: int = operations(lambda: source.trunk(noise))
        features = source.trunk(noise)
        head: int = operations(lambda: source.explainer.model(features))
    pieces: float = math.prod(plan.plan.padded) / math.prod(plan.plan.window)
    return windows * head + int(trunk * pieces)


def _memory(source: Exact | Shared, plan: Planned, sizes: Sizes) -> int:
    """Bytes beside Python and torch: a pass, a brick and a block."""
    features = _values(source).shape[0] * 4 if isinstance(source, Shared) else 0
    brick = brick_bytes(plan.lattice, sizes.brick, features, plan.targets or 1)
    block: int = max(math.prod(axis.stop - axis.start for axis in one) for one in blocks_of(plan.plan.shape, [256] * 3))
    return sizes.batch * window_bytes(source) + brick + 12 * block


def _seconds(source: Exact | Shared, plan: Planned, sizes: Sizes, windows: int) -> float:
    """What the network takes, by the second of two passes, and of two windows through a shared trunk."""
    values, origins = _values(source), np.zeros((sizes.batch, 3), np.int64)
    seconds = _timed(lambda: source.explain(values, origins)) * -(-windows // sizes.batch)
    if isinstance(source, Shared):
        noise = torch.randn(1, 1, *plan.plan.window).to(source.device, source.dtype)
        with torch.no_grad():
            once = _timed(lambda: source.trunk(noise))
        seconds += once * math.prod(plan.plan.padded) / math.prod(plan.plan.window)
    return seconds


def _timed(function: Any) -> float:
    function()
    began = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
