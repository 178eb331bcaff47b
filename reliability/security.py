"""Files of strangers that run code when they are loaded: ``python -m reliability.security [--cases N] [--write]``.

Each trap is real: plain ``pickle.loads`` springs it, which is made sure of first. camfast has to refuse the file, by a
sentence that names it, and leave the trap alone. Where one is hidden among weights, and in which bytes, is drawn.
"""

import argparse
import io
import os
import pickle
import random
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.report import Circumstances, Report, table
from camfast.errors import InputError
from camfast.models import load, read_weights
from reliability.record import keep


class Trap:
    """Runs code where it is unpickled, by one of several ways."""

    def __init__(self, place: Path, way: str) -> None:
        self.place, self.way = str(place), way

    def __reduce__(self) -> tuple[Any, ...]:
        if self.way == "os.system":
            return os.system, (f"touch {self.place}",)
        if self.way == "exec":
            return exec, (f"open({self.place!r}, 'w').close()",)
        if self.way == "eval":
            return eval, (f"open({self.place!r}, 'w').close()",)
        if self.way == "getattr":
            return getattr(Path(self.place), "touch"), ()  # noqa: B009 - a bound method, pickled as getattr
        return os.mkdir, (self.place,)


WAYS = ("os.system", "exec", "eval", "getattr", "os.mkdir")


class Sprung(nn.Module):
    """A whole module, one of whose parts is a trap."""

    def __init__(self, trap: Trap) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.trap = trap


def _hidden(trap: Trap, rng: random.Random) -> Any:
    """Put a trap somewhere among weights."""
    state: dict[Any, Any] = {name: torch.ones(2) for name in ("a", "b", "c")}
    return rng.choice(
        [
            lambda: trap,
            lambda: {**state, "d": trap},
            lambda: {"state_dict": {**state, "d": trap}},
            lambda: {"model_state_dict": state, "optimizer": [trap]},
            lambda: [state, {"epoch": trap}],
            lambda: Sprung(trap),
            lambda: {trap.place: state, (1, 2): [(trap,)]},
        ]
    )()


def _torch_zip(thing: Any, _: random.Random) -> bytes:
    content = io.BytesIO()
    torch.save(thing, content)
    return content.getvalue()


def _torch_legacy(thing: Any, _: random.Random) -> bytes:
    content = io.BytesIO()
    torch.save(thing, content, _use_new_zipfile_serialization=False)
    return content.getvalue()


def _plain(thing: Any, rng: random.Random) -> bytes:
    return pickle.dumps(thing, protocol=rng.randrange(6))


def _numpy(thing: Any, _: random.Random) -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([thing], dtype=object), allow_pickle=True)
    return content.getvalue()


def _numpy_archive(thing: Any, _: random.Random) -> bytes:
    content = io.BytesIO()
    np.savez(content, a=np.array([thing], dtype=object))
    return content.getvalue()


def _script(thing: Any, rng: random.Random) -> bytes:
    """A TorchScript archive whose pickle is a trap."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, part in (
            ("data.pkl", pickle.dumps(thing, protocol=2)),
            ("constants.pkl", b"\x80\x02)."),
            ("version", b"3\n"),
            ("code/__torch__.py", b"class M(Module):\n  pass\n"),
        ):
            archive.writestr(f"net{rng.randrange(9)}/{name}" if rng.random() < 0.2 else f"net/{name}", part)
    return content.getvalue()


KINDS: dict[str, Callable[[Any, random.Random], bytes]] = {
    "torch.save, zip": _torch_zip,
    "torch.save, legacy": _torch_legacy,
    "pickle": _plain,
    "numpy .npy": _numpy,
    "numpy .npz": _numpy_archive,
    "TorchScript": _script,
}
ENDINGS = (".pt", ".pth", ".bin", ".pkl", ".safetensors", ".npy", "")


def springs(way: str, folder: Path) -> bool:
    """Whether a trap is one: where nobody takes care it leaves its trace."""
    place = folder / "trace"
    with suppress(TypeError):  # what the code gives back is no matter
        pickle.loads(pickle.dumps(Trap(place, way)))
    found = place.exists()
    if found:
        place.rmdir() if place.is_dir() else place.unlink()
    return found


def attack(read: Callable[[Path], Any], kind: str, way: str, seed: int, folder: Path) -> str:
    """Have one file read; return what was wrong, or nothing."""
    rng = random.Random(f"{seed} {kind} {way}")
    place = folder / "sprung"
    path = folder / f"weights{rng.choice(ENDINGS)}"
    path.write_bytes(KINDS[kind](_hidden(Trap(place, way), rng), rng))
    try:
        read(path)
        wrong = "was read"
    except InputError as error:
        wrong = "" if str(path) in str(error) else f"the message names no file: {error}"
    except Exception as error:
        wrong = f"raised {type(error).__name__}: {error}"
    if place.exists():
        place.rmdir() if place.is_dir() else place.unlink()
        wrong = f"ran its code; {wrong}"
    path.unlink()
    return f"{kind}, {way}, seed {seed}, {path.suffix or 'no ending'}: {wrong}" if wrong else ""


READERS: tuple[Callable[[Path], Any], ...] = (read_weights, lambda path: load("cnn2", path))


def campaign(
    cases: int, seed: int, readers: tuple[Callable[[Path], Any], ...] = READERS
) -> tuple[Counter[str], list[str]]:
    """Try so many files; return how many of each kind, and what was wrong."""
    tried: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wrong += [f"{way} is no trap" for way in WAYS if not springs(way, folder)]
        for number in range(cases):
            kind, way = list(KINDS)[number % len(KINDS)], WAYS[number // len(KINDS) % len(WAYS)]
            fault = attack(readers[number % 7 % len(readers)], kind, way, seed + number, folder)
            tried[kind] += 1
            wrong += [fault] * bool(fault)
    return tried, wrong


COLUMNS = ("file", "tried", "ran code or was taken")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.security", description=__doc__)
    parser.add_argument("--cases", type=int, default=3000, help="files (3000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="keep the table in reliability/results")
    options = parser.parse_args()
    circumstances = Circumstances.now()
    tried, wrong = campaign(options.cases, options.seed)
    rows = tuple(
        (kind, str(count), str(sum(fault.startswith(f"{kind},") for fault in wrong))) for kind, count in tried.items()
    )
    summary = (
        f"Traps by {', '.join(WAYS)}, in the place of weights or hidden among them, under the endings "
        f"{', '.join(ending or 'none' for ending in ENDINGS)}. " + ("; ".join(wrong[:10]) or "None was sprung.")
    )
    print(table(COLUMNS, rows), summary, sep="\n\n")
    if options.write:
        command = "python -m reliability.security"
        keep(Report("security", command, circumstances, COLUMNS, rows, [{"wrong": wrong}], summary))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
