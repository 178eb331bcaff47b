"""Wrong calls of `camfast._C_cuda`, whose sources are built for this processor and an emulated device.

Every address is null: where an array isn't empty the call has to be refused, and would crash where it isn't.
"""

import inspect
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reliability.bindings.mutants import BEYOND, INTEGERS, JUNK, STRIDES
from tests.cuda.conftest import BUILD, Device, build

if TYPE_CHECKING:
    from reliability.bindings.child import Log

KIND = "camfast._C_cuda, emulated"
CODES = {"method": 6, "dtype": 3, "image_dtype": 5, "heat_dtype": 3, "rectify": 2}
SIZES = {"t", "n", "c", "p", "m", "h", "w", "d0", "d1", "d2", "o0", "o1", "o2"}
ADDRESSES = {
    "a", "g", "grid", "weights", "out", "ill", "scratch", "counters", "maps", "image", "heat", "table", "low_at",
    "high_at", "values", "index", "candidate", "units", "values_out", "index_out", "stream",
    *(f"{kind}{axis}" for kind in ("first", "weights") for axis in range(3)),
}  # fmt: skip
REALS = {"low", "high", "alpha", "black", "white", "threshold"}
FLAGS = {"relu"}


def built() -> Path:
    """Build the binding, or what changed of it, and return its path."""
    return build(BUILD)


def load(path: Path) -> Any:
    """The binding of a path."""
    return Device(path).kernels


def attempt(kernels: Any, draw: random.Random, log: "Log") -> None:
    """Call a function with numbers that are drawn, one of which may be none, or too many or too few."""
    name = draw.choice([name for name in dir(kernels) if not name.startswith("_")])
    given = {argument: _number(argument, draw) for argument in _parameters(getattr(kernels, name))}
    if name == "weighted_sum":
        given["w"] = 0  # an address here, a width elsewhere
    kind = draw.choice(("numbers", "numbers", "numbers", "junk", "missing", "unknown"))
    reason = _reason(name, given)
    if kind == "junk":
        argument = draw.choice([one for one in given if one not in REALS | FLAGS])
        given[argument] = draw.choice((*JUNK, *BEYOND))
        if argument in ADDRESSES and isinstance(given[argument], int):
            given[argument] = -1
        reason = f"{argument} is {given[argument]!r}"
    elif kind == "missing":
        del given[draw.choice(list(given))]
        reason = "an argument is missing"
    elif kind == "unknown":
        given["colour"] = 1
        reason = "an unknown argument"
    shown = ", ".join(f"{argument}={value!r}" for argument, value in given.items())
    log.trying(KIND, f"{name}({shown})" + (f" # {reason}" if reason else ""))
    try:
        getattr(kernels, name)(**given)
    except (TypeError, ValueError, MemoryError, OverflowError):
        log.done()
    except RuntimeError as error:  # CUDA's own, such as that there is no device
        log.done(f"raised {error!r}" if kind != "numbers" else "")
    except BaseException as error:
        log.done(f"raised {error!r}")
    else:
        log.done(f"was accepted: {reason}" if reason else "")


def _parameters(function: Any) -> list[str]:
    """Names of a function's arguments, from its docstring's first line."""
    line = (inspect.getdoc(function) or "").split("\n")[0]
    return [part.split(":")[0].strip() for part in line[line.index("(") + 1 : line.rindex(") ->")].split(", ")]


def _number(argument: str, draw: random.Random) -> Any:
    if argument in CODES:
        return draw.choice((0, 0, 1, 2, 3, -1, 8, 2**31 - 1))
    if argument in REALS:
        return draw.choice((0.0, 0.5, 1.0, -1.0, 1e300, float("nan"), float("inf")))
    if argument in FLAGS:
        return draw.random() < 0.5
    if argument in ADDRESSES:
        return 0
    if argument == "device":
        return draw.choice((0, 0, 0, -1, 1000, 2**31 - 1))
    if argument in SIZES and draw.random() < 0.8:
        return draw.choice((0, 1, 2, 3))
    return draw.choice(STRIDES if "_s" in argument else INTEGERS)


def _reason(name: str, given: dict[str, Any]) -> str:
    """Why the numbers have to be refused, where that is certain; workspaces are only counted."""
    if name.endswith("_workspace"):
        return ""
    for argument, value in given.items():
        unused = name == "fused_cam" and argument[0] in "do"  # without maps there are no axes
        if argument in SIZES and value < 0 and not unused:
            return f"{argument} is negative"
        if argument in CODES and not 0 <= value <= CODES[argument]:
            return f"{argument} is no code"
    return ""
