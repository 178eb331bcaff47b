"""Who is at work in a folder: a lock of the system where there is one, and a record that says who and that he lives."""

import fcntl
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from camfast.errors import InputError

_BEAT = 5.0  # seconds between two signs of life
_WATCH = 20.0  # seconds in which a process of another machine has to give one: a few beats, and a slow file system
_BYTES = 400


class Lock:
    """Keeps other processes out of a folder within a ``with`` block.

    A file named ``lock`` is held by ``flock``, which the system gives back when the process dies: a number of a process
    that another one has by now is no matter. Some file systems of clusters have no such locks, or have them for each
    machine alone. So the file also says who holds it, and a number in it goes up while he lives. Where ``flock`` can't
    tell, the number is watched for a while: clocks of machines may differ, and nothing is compared with them.

    Parameters
    ----------
    folder
        Made where it isn't there.
    output
        What it is for, for messages.

    Raises
    ------
    InputError
        If another process is at work there, or the folder cannot be written to.
    """

    def __init__(self, folder: Path, output: Path) -> None:
        self.path, self.output = folder / "lock", output
        self._who = f"process {os.getpid()} on {socket.gethostname()}"
        self._token = uuid.uuid4().hex
        self._descriptor = -1
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        while not self._taken():
            pass
        threading.Thread(target=self._beat, name="camfast-lock", daemon=True).start()
        return self

    def _taken(self) -> bool:
        """Take the folder; False where it went meanwhile, as another process has finished."""
        self._descriptor, known = self._opened()
        try:
            record = self._record()
            died_here = known and record.partition("\n")[0].endswith(f" on {socket.gethostname()}")
            if record and not died_here and self._lives(record):
                raise self._refused(record)
            self._write(0)
            if not known:  # two that began at once find the record of the one that came last
                time.sleep(_BEAT / 10)
            if self._is_own():
                return True
            raise self._refused(self._record())
        except FileNotFoundError:
            os.close(self._descriptor)
            return False
        except BaseException:
            os.close(self._descriptor)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        with _writing:
            with suppress(OSError):
                if self._is_own():
                    os.ftruncate(self._descriptor, 0)  # nobody has to find out whether this process lives
            os.close(self._descriptor)
            self._descriptor = -1

    def check(self) -> None:
        """Make sure that the folder is still this process's own.

        Raises
        ------
        InputError
            If it was removed, or another process has taken it over.
        """
        try:
            if self._is_own():
                return
            who = self._record().partition("\n")[0] or "another process"
        except FileNotFoundError:
            raise InputError(
                f"{self.output}: the folder of unfinished work, {self.path.parent}, was removed while the scan ran, so "
                "it was given up; scan again, and leave that folder alone"
            ) from None
        raise InputError(f"{self.output}: {who} is scanning into it by now, so this scan was given up")

    def _is_own(self) -> bool:
        """Whether the file that stands there is the one that is held, and its record this process's."""
        same = os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        record = self._record()
        return same and (self._token in record or not record)  # a full disk may have left none

    def _opened(self) -> tuple[int, bool]:
        """The file, and whether it is locked by the system."""
        while True:
            try:
                self.path.parent.mkdir(exist_ok=True)
            except OSError as error:
                raise self._unwritable(error.strerror) from None
            try:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            except FileNotFoundError:
                continue  # another process has removed the folder in between, as it was finished
            except OSError as error:
                raise self._unwritable(error.strerror) from None
            known = True
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                record = os.pread(descriptor, _BYTES, 0).decode(errors="replace")
                os.close(descriptor)
                raise self._refused(record) from None
            except OSError:
                known = False
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), self.path.stat()):
                    return descriptor, known
            os.close(descriptor)  # of a folder that was removed meanwhile, as it was finished

    def _refused(self, record: str) -> InputError:
        who = record.partition("\n")[0] or "another process"
        return InputError(
            f"{self.output}: {who} is scanning into it; wait until it has finished, or choose another name"
        )

    def _unwritable(self, reason: str | None) -> InputError:
        return InputError(
            f"{self.output}: cannot write in the folder {self.output.parent} ({reason}); write somewhere else"
        )

    def _record(self) -> str:
        """What the file says, opened anew: network file systems then look whether it has changed."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            return os.pread(descriptor, _BYTES, 0).decode(errors="replace")
        finally:
            os.close(descriptor)

    def _lives(self, before: str) -> bool:
        """Whether the record changes before long."""
        end = time.monotonic() + _WATCH
        while time.monotonic() < end:
            time.sleep(_BEAT / 10)
            if (now := self._record()) != before:
                return bool(now)  # an empty one was left by a process that has ended
        return False

    def _write(self, beat: int) -> None:
        with suppress(OSError):  # a full disk says so where something is computed
            text = f"{self._who}\n{self._token}\n{beat}\n".encode()
            if not beat:
                os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text, 0)
            os.fsync(self._descriptor)

    def _beat(self) -> None:
        beat = 0
        while not self._ended.wait(_BEAT):
            beat += 1
            with _writing:
                try:
                    own = self._descriptor >= 0 and self._is_own()
                except OSError:
                    own = False
                if not own:
                    return  # who asks is told by `check`
                self._write(beat)


_writing = threading.Lock()
"""Held while a descriptor is written to, which must not be closed, and given to another file, meanwhile."""
