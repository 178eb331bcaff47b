"""The process that makes wrong calls: each is written down before it is made, and its outcome after it."""

import json
import random
import sys
from pathlib import Path
from typing import IO, Any

import torch

import camfast
from camfast.ops import native
from reliability.bindings import device, gate
from reliability.bindings.contracts import Calls
from reliability.bindings.mutants import Mutant, addresses, drawn

REFUSALS = (TypeError, ValueError, MemoryError, RuntimeError)
"""What the binding may raise; pybind11's own refusals are TypeErrors."""


class Log:
    """Lines of JSON: what is tried, then what became of it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def trying(self, kind: str, what: str) -> None:
        self._write({"kind": kind, "trying": what})

    def done(self, wrong: str = "") -> None:
        self._write({"wrong": wrong})

    def _write(self, line: dict[str, str]) -> None:
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()


def main(binding: Path, seed: int, first: int, cases: int, path: Path) -> None:
    """Make the calls `first` to `cases` - 1 of a seed, those of the emulated device by a binding that was built."""
    torch.set_num_threads(1)
    calls, emulated = Calls(), device.load(binding)
    with path.open("a") as stream:
        log = Log(stream)
        for number in range(first, cases):
            draw = random.Random(f"{seed} {number}")
            torch.manual_seed(number)
            kind = number % 4
            if kind == 3:
                gate.attempt(draw, log)
            elif number % 8 == 1:
                device.attempt(emulated, draw, log)
            elif kind == 2 and number % 8 == 2:
                _odd(draw, log)
            else:
                _attempt(drawn(calls, draw), draw, log)


def _attempt(mutant: Mutant, draw: random.Random, log: Log) -> None:
    """Call the function, or bind it and call what comes of it."""
    kernels = native._kernels()
    binds = draw.random() < 0.2
    log.trying("camfast._C", ("bind_" if binds else "") + str(mutant))
    try:
        if binds:
            bound = getattr(kernels, f"bind_{mutant.function}")(*mutant.arguments, **mutant.keywords)
            given = tuple(mutant.keywords[name] for name in mutant.keywords if name in addresses(mutant.function))
            bound(tuple(address for address in given if address), 1)
        else:
            getattr(kernels, mutant.function)(*mutant.arguments, **mutant.keywords)
    except REFUSALS as error:
        log.done("" if type(error) is not RuntimeError else f"raised {error!r}")
    except BaseException as error:
        log.done(f"raised {error!r}")
    else:
        log.done(f"was accepted: {mutant.reason}" if mutant.reason else "")


def _odd(draw: random.Random, log: Log) -> None:
    """What isn't an op: signature, the functions that bind returns, and those without arguments."""
    kernels = native._kernels()
    odd: tuple[Any, ...] = (
        None,
        3,
        "x",
        (),
        [],
        {},
        object(),
        torch.zeros(2),
        torch.zeros(0),
        torch.zeros(2, device="meta"),
        torch.eye(2).to_sparse(),
        torch.zeros(2, dtype=torch.complex64).conj(),
        (torch.zeros(1),) * 9,
        torch.zeros(()),
        torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.quint8),
        (None,) * 40,
        [[]],
    )
    which = draw.randrange(5)
    arguments: tuple[Any, ...] = tuple(draw.choice(odd) for _ in range(draw.randrange(5)))
    name = ("signature", "signature", "use_team", "isa", "bound")[which]
    if name == "signature" and draw.random() < 0.7:
        arguments = (tuple(draw.choice(odd) for _ in range(draw.randrange(12))), draw.choice(odd), draw.choice(odd))
    if name == "use_team" and all(isinstance(value, int) for value in arguments):
        arguments = (None,)
    function = getattr(kernels, name, None)
    if name == "bound":
        A, out = torch.rand(3, 2), torch.empty(2)
        bound = kernels.bind_row_sum(0, 3, 2, A.data_ptr(), 2, A.data_ptr(), out.data_ptr(), 1)
        right = (A.data_ptr(), A.data_ptr(), out.data_ptr())
        many = (*right, 0)
        arguments = (
            draw.choice(
                (right[:2], many, (None, *right[1:]), ("x", *right[1:]), (-1, *right[1:]), (2**70, *right[1:]), *odd)
            ),
            *draw.choice(((), (1, 2), (None,), ("1",), (2**40,), (0,))),
        )
        function = bound
    log.trying("camfast._C", f"{name}{arguments!r}")
    try:
        function(*arguments)
    except (TypeError, ValueError, OverflowError):
        log.done()
    except BaseException as error:
        log.done(f"raised {error!r}")
    else:
        log.done()


if __name__ == "__main__":
    assert camfast.__version__
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]), Path(sys.argv[5]))
