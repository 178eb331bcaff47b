"""``camfast scan`` as a process of its own, forked from this one, which has imported everything, or started anew."""

import importlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from camfast import _interrupt, cli
from tests.scan.cases import cut_small

PATIENCE = 120.0
"""Seconds after which a process counts as hung."""
ROOT = Path(__file__).resolve().parents[2]
_SLOW = ("torch._dynamo", "zarr", "mrcfile", "gemmi.cif", "camfast.scan", "camfast.scan.to_file", "camfast.cli.scan")


def make_ready() -> None:
    """Import what is slow, and let scans be cut into many pieces: many places for them to be disturbed at."""
    torch.set_num_threads(1)
    for module in _SLOW:
        importlib.import_module(module)
    cut_small()


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes
    ----------
    code
        Its exit code; a signal's number with a minus where that ended it; None where it hung and was killed.
    err
        What it said on standard error.
    """

    code: int | None
    err: str

    @property
    def said_well(self) -> bool:
        """Whether what it said is for people: one line, or nothing."""
        lines = self.err.splitlines()
        return len([line for line in lines if not line.startswith("camfast: warning: ")]) <= 1 and (
            "Traceback" not in self.err
        )

    def __str__(self) -> str:
        return f"exit {self.code}: {self.err.strip()[-300:]!r}"


class Running:
    """A process that runs, the leader of a group of its own."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid, self.log = pid, log
        self._status: int | None = None

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self.ended:
            os.kill(self.pid, number)

    @property
    def ended(self) -> bool:
        """Whether it has."""
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status is not None

    def wait(self, patience: float = PATIENCE) -> Ended:
        """Wait for its end; kill it where that takes too long."""
        end = time.monotonic() + patience
        hung = False
        while not self.ended:
            if time.monotonic() > end:
                hung = True
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            time.sleep(0.005)
        return Ended(None if hung else self._status, self.log.read_text(errors="replace"))

    def until(self, seen: Callable[[], bool]) -> bool:
        """Wait until something is seen, or the process has ended; whether it was seen."""
        end = time.monotonic() + PATIENCE
        while not self.ended and time.monotonic() < end:
            if seen():
                return True
            time.sleep(0.002)
        return seen()


def forked(arguments: Sequence[str], log: Path, prepare: Callable[[], None] | None = None) -> Running:
    """Run the command line in a fork of this process; ``prepare`` is called there first."""
    log.touch()  # a child may be killed before it does so
    child = os.fork()
    if child:
        return Running(child, log)
    code = 1
    try:
        os.setsid()
        _redirect(log)
        for number in (signal.SIGTERM, signal.SIGHUP):  # ignored where this runs in the background
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, _interrupt._end)  # as it is when a new interpreter has imported camfast
        if prepare is not None:
            prepare()
        code = cli.main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def started(arguments: Sequence[str], log: Path) -> Running:
    """Run the command line by a new interpreter, which takes seconds to import everything."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "camfast", *arguments],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    process.returncode = 0  # it is waited for by its number
    return Running(process.pid, log)


def _redirect(log: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 2)
