"""Right calls of `camfast._C` made wrong, and whether they have to be refused."""

import random
from dataclasses import dataclass
from typing import Any

from reliability.bindings.contracts import CODES, EXTENTS, OPTIONAL, OUTPUTS, Calls, Extent, fits, is_empty

INTEGERS = (-1, 0, 1, 2, 3, 2**31 - 1, 2**40, 2**61, 2**62, 2**63 - 1, -(2**63))
STRIDES = (-7, -1, 0, 1, 2, 40, 2**40, 2**62, -(2**63), 2**63 - 1)
BEYOND = (2**63, -(2**63) - 1, 2**64, 10**40)
JUNK: tuple[Any, ...] = (None, "3", b"3", [1], (), {}, object(), 1j, float("nan"), ...)
GIGABYTE = 1 << 30


@dataclass
class Mutant:
    """A call, and why it has to be refused; an empty reason says that it need not be."""

    function: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    reason: str

    def __str__(self) -> str:
        given = [*map(repr, self.arguments), *(f"{name}={value!r}" for name, value in self.keywords.items())]
        return f"{self.function}({', '.join(given)})" + (f" # {self.reason}" if self.reason else "")


def drawn(calls: Calls, draw: random.Random) -> Mutant:
    """A right call with one to three things wrong."""
    name = draw.choice(list(EXTENTS))
    given = dict(calls.right[name])
    kind = draw.choice(("numbers", "numbers", "numbers", "junk", "beyond", "count"))
    if kind == "count":
        return _miscounted(name, given, draw)
    if kind in ("junk", "beyond"):
        argument = draw.choice(list(given))
        value = draw.choice(JUNK if kind == "junk" else BEYOND)
        reason = f"{argument} is {value!r}"
        if isinstance(given[argument], float) and isinstance(value, int | float):
            reason = ""  # a large number, or no number among floats, may mean something
        if isinstance(given[argument], bool):
            reason = ""
        if argument in addresses(name) and isinstance(value, int) and 0 <= value < 2**64:
            value = -1  # no address of ours
        return Mutant(name, (), {**given, argument: value}, reason)
    for _ in range(draw.randint(1, 4)):
        argument = draw.choice([key for key in given if key not in addresses(name)])
        given[argument] = _number(argument, given[argument], draw)
    for address in addresses(name):
        if draw.random() < 0.06:
            given[address] = 0
    extents = EXTENTS[name](given)
    for address, extent in extents.items():
        if not fits(extent, address in OUTPUTS):
            given[address] = 0
    if _takes_gigabytes(name, given):
        return Mutant(name, (), calls.right[name], "")
    return Mutant(name, (), given, _reason(name, given, extents))


def addresses(name: str) -> set[str]:
    """The arguments that are addresses."""
    return _ADDRESSES[name]


_ADDRESSES = {
    "channel_weights": {"a", "g", "out", "ill"}, "weighted_sum": {"a", "w", "out"}, "product_sum": {"a", "g", "out"},
    "fused_cam": {"a", "g", "grid", "maps", "weights", "ill"}, "linear_upsample": {"grid", "out"},
    "gaussian_upsample": {"grid", "out"}, "overlay": {"image", "heat", "table", "out"},
    "running_max": {"values", "index", "candidate", "units", "values_out", "index_out"},
    "window_sum": {"total", "maps", "origins", "taper", "out"},
    "resample": {"image", "y_first", "y_weights", "x_first", "x_weights", "out"},
    "row_sum": {"matrix", "factors", "out"},
}  # fmt: skip


def _number(argument: str, value: Any, draw: random.Random) -> Any:
    if isinstance(value, float):
        return draw.choice((0.0, -1.0, 1e300, -1e300, 1e-300, float("nan"), float("inf"), float("-inf"), 0.5))
    if isinstance(value, bool) or argument == "relu":
        return not value
    if argument in CODES:
        return draw.choice((*range(8), -1, 8, 99, 2**31 - 1, -(2**31)))
    if argument == "threads":
        return draw.choice((-(2**31), -1, 0, 1, 7, 64))
    if argument == "unit":
        return draw.choice((-(2**31), 2**31 - 1))
    return draw.choice(STRIDES if "_s" in argument else INTEGERS)


def _miscounted(name: str, given: dict[str, Any], draw: random.Random) -> Mutant:
    values = tuple(given.values())
    choice = draw.randrange(4)
    if choice == 0:
        return Mutant(name, values[: draw.randrange(len(values))], {}, "arguments are missing")
    if choice == 1:
        return Mutant(name, (*values, 1), {}, "an argument too many")
    if choice == 2:
        return Mutant(name, (), {**given, "colour": 1}, "an unknown argument")
    return Mutant(name, values, {next(iter(given)): values[0]}, "an argument twice")


def _reason(name: str, given: dict[str, Any], extents: dict[str, Extent]) -> str:
    """Why a call with these numbers has to be refused, where that is certain."""
    for address, (_, sizes, _) in extents.items():
        unused = address in OPTIONAL.get(name, ()) and given[address] == 0
        if unused or (name == "fused_cam" and address == "maps" and given["upsample"] == 0):
            continue
        if min(sizes) < 0:
            return f"{address} has a negative size"
    for argument in CODES & set(given):
        last = {"dtype": 3, "image_dtype": 5, "origins_dtype": 7, "blend": 1, "rectify": 2, "gain": 2, "upsample": 2}
        most = 5 if name == "resample" else last.get(argument, 6 if name == "fused_cam" else 3)
        if argument == "gain" and given.get("upsample", 2) != 2:
            continue
        if not 0 <= given[argument] <= most:
            return f"{argument} is no code"
    for address, extent in extents.items():
        if given[address] == 0 and not is_empty(extent) and address not in OPTIONAL.get(name, ()):
            return f"{address} is null"
    return ""


def _takes_gigabytes(name: str, given: dict[str, Any]) -> bool:
    """Whether a call that isn't wrong wants so much scratch that it would only test the machine."""
    if name != "fused_cam":
        return False
    sizes = [max(given[size], 0) for size in ("n", "t", "p")]
    return (
        given["c"] == 0
        and 0 not in sizes
        and given["grid"] == 0
        and SCRATCH < 8 * sizes[0] * sizes[1] * sizes[2] < 2**44
    )


SCRATCH = GIGABYTE // 16
