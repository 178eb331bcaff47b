"""Processes that read mutants one after the other, and may hang, crash or run out of memory on one."""

import collections
import contextlib
import itertools
import json
import os
import resource
import select
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from reliability.files import bombs, commands
from reliability.files.formats import FORMATS, Files, Wrong

SECONDS = 5.0
ROOM = 1 << 29  # bytes of addresses beyond those of a warm process
ALLOWANCE = (
    48 << 20
)  # bytes of memory beyond four times the file: what a library keeps, loads late, or copies in passing
FACTOR = 4
BATCH = 64
FINE = ("read", "refused")

Outcome = dict[str, Any]


def write_files(folder: Path, name: str, files: Files) -> Path:
    """Lay a mutant into an empty folder; return the path to be read."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if set(files) == {""}:
        (folder / name).write_bytes(files[""])
        return folder / name
    place = folder / name if not Path(name).suffix or name.endswith(".zarr") else folder
    for inner, content in files.items():
        (place / inner).parent.mkdir(parents=True, exist_ok=True)
        (place / inner).write_bytes(content)
    return place if name.endswith(".zarr") else folder / name


def peak() -> int:
    """Largest resident memory since `forget_peak`, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _addresses() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def attempt(read: Callable[[Path, Files], int], path: Path, files: Files) -> Outcome:
    """Read a mutant and say how it went: ``read``, ``refused``, or what is wrong."""
    from camfast.errors import CamfastError

    size = sum(map(len, files.values()))
    forget_peak()
    before, began, honest = peak(), time.process_time(), 0
    outcome: Outcome = {"end": "read", "says": ""}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            honest = read(path, files)
        except CamfastError as error:
            outcome = _refused(error, path)
        except Wrong as error:
            outcome = {"end": "wrong", "says": str(error)}
        except BaseException as error:
            where = "".join(traceback.format_tb(error.__traceback__)[-3:])
            outcome = {"end": "raw error", "says": f"{type(error).__name__}: {error}"[:500], "where": where}
    seconds, grown = time.process_time() - began, peak() - before
    if warned and outcome["end"] in FINE:
        outcome = {"end": "warning", "says": f"{warned[0].category.__name__}: {warned[0].message}"[:500]}
    if seconds > SECONDS:
        outcome = {"end": "slow", "says": f"{seconds:.1f} s; {outcome['says']}"}
    if grown > FACTOR * max(size, honest) + ALLOWANCE:
        outcome = {"end": "memory", "says": f"{grown >> 20} MB for a file of {size} bytes; {outcome['says']}"}
    return {**outcome, "seconds": seconds, "grown": grown}


def _refused(error: BaseException, path: Path) -> Outcome:
    says, link, chain = str(error), error, []
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    if any((isinstance(one, MemoryError) and not _of_reading(one)) or "allocate" in str(one) for one in chain):
        return {"end": "allocated first", "says": says[:500]}
    if path.name not in says and path.parent.name not in says:
        return {"end": "unnamed", "says": says[:500]}
    if len(says) > 2000:
        return {"end": "long message", "says": says[:500]}
    return {"end": "refused", "says": says[:300]}


def _of_reading(error: BaseException) -> bool:
    """Whether it was raised where Zarr asks a file for more bytes than it has: addresses that nothing is put to."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename.endswith("zarr/storage/_local.py")


@contextlib.contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """Within the block, what goes to the standard streams goes to a file; gives what is in it, and empties it."""
    with tempfile.TemporaryFile() as file:
        kept = [os.dup(1), os.dup(2)]
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)

        def taken() -> str:
            file.seek(0)
            text = file.read().decode(errors="replace")
            file.seek(0)
            file.truncate()
            return text

        try:
            yield taken
        finally:
            for stream, old in enumerate(kept, 1):
                os.dup2(old, stream)
                os.close(old)


def _serve(name: str, seed: int, folder: Path, commanded: bool, orders: int, answers: int) -> None:
    """Read the mutants whose numbers come in, and answer a line of JSON for each."""
    import torch

    torch.set_num_threads(1)
    form = FORMATS[name]
    made = form.seeds()
    with quiet() as taken, os.fdopen(orders) as lines:
        for index in range(-len(made), 0):  # warm: what is imported and kept counts for nobody
            mutant, files = form.mutant(made, seed, index)
            with contextlib.suppress(Exception):
                form.read(write_files(folder, mutant, files), files)
            if commanded:
                commands.attempt(name, write_files(folder, mutant, files), index, taken)
        taken()
        os.write(answers, json.dumps({"end": "ready", "valid": len(made)}).encode() + b"\n")
        resource.setrlimit(resource.RLIMIT_AS, (_addresses() + ROOM, resource.RLIM_INFINITY))
        for line in lines:
            kind, what = json.loads(line)
            mutant, files = bombs.mutant(what) if kind == "bomb" else form.mutant(made, seed, what)
            path = write_files(folder, mutant, files)
            if kind == "command":
                outcome = commands.attempt(name, path, what, taken)
            else:
                outcome = attempt(form.read, path, files)
                printed = taken()
                if printed and outcome["end"] in FINE:
                    outcome = {**outcome, "end": "printed", "says": printed[:500]}
                if kind == "bomb" and outcome["end"] == "read":
                    outcome = {**outcome, "end": "not refused"}
            os.write(answers, json.dumps(outcome).encode() + b"\n")


class Worker:
    """A process that reads mutants of a format, started anew when it was lost."""

    def __init__(self, name: str, seed: int, folder: Path, *, commanded: bool = False) -> None:
        self._arguments, self._child = (name, seed, folder, commanded), 0

    def _start(self) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            try:
                os.close(self._orders)
                os.close(self._answers)
                _serve(*self._arguments, orders, answers)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        os.close(orders)
        os.close(answers)
        self._left = b""
        first = self._answer(120)
        if first["end"] != "ready":
            raise RuntimeError(f"{self._arguments[0]}: no worker")
        self._valid = int(first["valid"])

    def _answer(self, seconds: float) -> Outcome:
        end = time.monotonic() + seconds
        while b"\n" not in self._left:
            ready, _, _ = select.select([self._answers], [], [], max(0, end - time.monotonic()))
            if not ready:
                self._stop()
                return {"end": "hang", "says": f"no answer after {seconds:g} s"}
            piece = os.read(self._answers, 1 << 16)
            if not piece:
                status = self._stop()
                return {"end": "crash", "says": f"ended with status {status}"}
            self._left += piece
        line, self._left = self._left.split(b"\n", 1)
        found: Outcome = json.loads(line)
        return found

    def _stop(self) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._child, signal.SIGKILL)
        _, status = os.waitpid(self._child, 0)
        os.close(self._orders)
        os.close(self._answers)
        self._child = 0
        return status

    def read(self, kind: str, whats: Iterable[int | str]) -> Iterator[tuple[int | str, Outcome]]:
        """Give it mutants by their numbers, to read or for a command, or bombs by their names.

        Where it is lost on one, say how, and go on with the next.
        """
        left = collections.deque(whats)
        while left:
            if not self._child:
                self._start()
            batch = list(itertools.islice(left, BATCH))  # at once, as a busy machine lets each in turn wait
            os.write(self._orders, "".join(f"{json.dumps([kind, what])}\n" for what in batch).encode())
            for what in batch:
                outcome = self._answer(60 if kind == "bomb" else 2 * SECONDS)  # which takes time to make
                left.popleft()
                yield what, outcome
                if not self._child:
                    break

    @property
    def valid(self) -> int:
        """How many valid files there are, with numbers from -1 downwards."""
        if not self._child:
            self._start()
        return self._valid

    def close(self) -> None:
        if self._child:
            self._stop()
