"""Colour tables of 256 entries, by their piecewise-linear formulas."""

from collections.abc import Callable

import torch
from torch import Tensor

from camfast.ops.checks import is_plain


def _gray(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return t, t, t


def _hot(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return t / 0.375, (t - 0.375) / 0.375, (t - 0.75) / 0.25


def _jet(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return 1.5 - (4 * t - 3).abs(), 1.5 - (4 * t - 2).abs(), 1.5 - (4 * t - 1).abs()


# red, green and blue of a value in [0, 1]; what leaves [0, 1] is clipped
_FORMULAS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]] = {"gray": _gray, "hot": _hot, "jet": _jet}
COLORMAPS = tuple(_FORMULAS)


def _table(name: str) -> Tensor:
    t = torch.arange(256, dtype=torch.float64) / 255
    return torch.stack(_FORMULAS[name](t), 1).clamp_(0, 1).mul_(255).round_().to(torch.uint8)


_TABLES = {name: _table(name) for name in COLORMAPS}
_ON_DEVICES: dict[tuple[str, torch.device], Tensor] = {}


def color_table(name: str, device: torch.device) -> Tensor:
    """Return the table (256, 3) of a name of `COLORMAPS`, uint8, copied once to a device; nobody may write into it."""
    table = _TABLES[name]
    if device.type == "cpu":
        return table
    key = (name, device)
    if key not in _ON_DEVICES or torch.compiler.is_compiling():
        table = table.to(device)
        if not is_plain(table):
            return table
        _ON_DEVICES[key] = table
    return _ON_DEVICES[key]
