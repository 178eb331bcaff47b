"""How much is done at a time: windows a pass, voxels a brick, cells a tile, by the memory that they take."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from camfast.errors import InputError
from camfast.scan.windows.exact import Exact, Explained
from camfast.scan.windows.footprint import operations, peak_bytes
from camfast.scan.windows.lattice import Lattice
from camfast.scan.windows.shared import Shared

DEFAULT_BYTES = 2 << 30
"""What a scan takes beside the process as it is, where nobody says how much it may."""
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_INSIDE = 3  # convolutions on a CPU hold their operands in a layout of their own, too
_NETWORK, _BRICKS = 0.4, 0.25  # shares of the memory; the rest is for blocks of the map and their compression
_LARGE_BLOCKS = 800 << 20  # a block of 256³ takes some 350 MB until it is compressed and written
_LEAST = 96 << 20
_MOST_WINDOWS = {"cpu": (32, 64), "cuda": (256, 1024)}  # a pass: whole windows, and those of a shared trunk
_OPERATIONS = (4e12, 4e14)  # of a brick, on a CPU and a GPU: what an interruption costs is less than a minute
_EXACT_VOXELS, _SHARED_VOXELS, _SMALLEST_BRICK = 128, 256, 16


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done at a time, which the last bits of a result depend on.

    Parameters
    ----------
    batch
        Windows a pass.
    brick
        Voxels that a brick advances by.
    tile
        Cells of a tile of the shared trunk at most, with what is around it; 0 for the trunk ``exact``.
    block
        Edge of a block of the map that is written at once, in voxels.
    """

    batch: int
    brick: int
    tile: int = 0
    block: int = 256


def bytes_of(amount: int | str | None) -> int | None:
    """Read an amount of memory: bytes, or a number with K, M, G or T (of 1024).

    Raises
    ------
    InputError
        If it is none.

    Examples
    --------
    >>> bytes_of("1.5G"), bytes_of(4096), bytes_of(None)
    (1610612736, 4096, None)
    """
    if amount is None or (isinstance(amount, int) and amount > 0):
        return amount
    found = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([KMGT]?)(?:I?B)?", str(amount).strip().upper())
    value = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if value <= 0:
        raise InputError(f"max_memory is {amount!r}, expected an amount such as '800M' or '4G', or a number of bytes")
    return value


def budget(limit: int | None) -> int:
    """Bytes that a scan may take beside what the process has.

    Raises
    ------
    InputError
        If the limit leaves too little.
    """
    if limit is None:
        return DEFAULT_BYTES
    own = anonymous_bytes()
    if limit - own < _LEAST:
        raise InputError(
            f"max_memory is {_megabytes(limit)}, and Python, torch and the network take {_megabytes(own)} of it; "
            f"give at least {_megabytes(own + _LEAST)}"
        )
    return limit - own


def anonymous_bytes() -> int:
    """Memory of this process that no file backs; 0 where the system does not tell."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def choose(
    source: Exact | Shared, lattice: Lattice, first: Explained, batch: int | None, memory: int, limit: int | None
) -> Sizes:
    """Choose how much is done at a time, by explaining one window of noise and looking at what it takes.

    Parameters
    ----------
    source
        The trunk.
    lattice
        Where cells lie.
    first
        What an explained window gives.
    batch
        Windows a pass, where the caller says; None: the largest power of 2 that memory allows.
    memory
        Bytes there are.
    limit
        What the caller allows the whole process, for the message.

    Raises
    ------
    InputError
        If not even one window fits.
    """
    network, bricks = int(memory * _NETWORK), int(memory * _BRICKS)
    shared = isinstance(source, Shared)
    tile, features = _tile(source, network) if isinstance(source, Shared) else (0, 0)
    window = 0  # looked at where it matters
    if batch is None or limit is not None:
        window = window_bytes(source)
    if window * (batch or 1) > network and limit is not None:
        raise InputError(
            f"{_megabytes(window * (batch or 1))} for a pass of {batch or 1} windows do not fit into max_memory "
            f"{_megabytes(limit)}; give more, or a smaller batch"
        )
    if batch is None:
        batch = 1
        while 2 * batch <= _MOST_WINDOWS.get(source.device.type, (32, 64))[shared] and 2 * batch * window <= network:
            batch *= 2
    brick = _SHARED_VOXELS if shared else _EXACT_VOXELS
    targets = first.grids.shape[1] if first.grids.ndim == 5 else 1
    most = _OPERATIONS[source.device.type == "cuda"] / max(1, 0 if shared else _window_operations(source, lattice))
    while brick > _SMALLEST_BRICK and (
        brick_bytes(lattice, brick, features, targets) > bricks or _windows_of(lattice, brick) > most
    ):
        brick //= 2
    return Sizes(batch, brick, tile, 256 if memory >= _LARGE_BLOCKS else 128)


def _window_operations(source: Exact | Shared, lattice: Lattice) -> int:
    noise = torch.zeros(1, 1, *lattice.plan.window, device=source.device, dtype=source.dtype)
    with torch.no_grad():
        return operations(lambda: source.explainer.model(noise))


def _windows_of(lattice: Lattice, brick: int) -> int:
    return math.prod(min(max(brick // s, 1), n) for s, n in zip(lattice.plan.stride, lattice.plan.counts, strict=True))


def window_bytes(source: Exact | Shared) -> int:
    """Bytes that explaining one window takes, by one of noise."""
    shape = source.plan.window
    origin = np.zeros((1, 3), np.int64)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(source.device)
    if isinstance(source, Shared):
        with torch.no_grad():
            values = source.trunk(values[None, None].to(source.dtype))[0]
    source.explain(values, origin)  # what is made once and kept isn't counted
    return _INSIDE * peak_bytes(lambda: source.explain(values, origin))


def _tile(source: Shared, network: int) -> tuple[int, int]:
    """Cells of a tile that the trunk can take at once, and bytes of its features a cell."""
    shape = source.plan.window
    values = torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(0)).to(source.device, source.dtype)
    with torch.no_grad():
        found = source.trunk(values)
        taken = peak_bytes(lambda: source.trunk(values))
    voxel = _INSIDE * max(taken / math.prod(shape), 1.0)
    cell = voxel * math.prod(source.lattice.cell)
    return max(1, int(network / cell)), found.shape[1] * found.element_size()


def brick_bytes(lattice: Lattice, brick: int, features: int, targets: int) -> int:
    """Bytes of a brick: its voxels twice, as the next ones are read ahead, its features, and twice its part."""
    plan = lattice.plan
    hull = [
        min(max(brick // s, 1), n) * s - s + w for s, n, w in zip(plan.stride, plan.counts, plan.window, strict=True)
    ]
    cells = math.prod(-(-n // c) for n, c in zip(hull, lattice.cell, strict=True))
    return math.prod(hull) * 8 + cells * (features + 16 * (targets + 1))


def _megabytes(count: int) -> str:
    return f"{count / (1 << 20):.0f}M"
