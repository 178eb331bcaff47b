"""Whether what is read stays as it was: files are known by their sizes and the times of their last changes."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from camfast.errors import InputError


class ChangedError(InputError):
    """A file was changed while it was read, so what was computed may be of two versions."""


@dataclass(frozen=True)
class State:
    """What a file, or a folder of files, is known by. Times are compared, never ordered: clocks jump.

    Parameters
    ----------
    bytes
        Of all files.
    changed
        Time of the latest change, in nanoseconds.
    files
        SHA-256 of the names, sizes and times of all files in a folder; None for a file.
    """

    bytes: int
    changed: int
    files: str | None = None

    @classmethod
    def of(cls, path: Path) -> "State":
        """Look at a file or folder; its content isn't read.

        Raises
        ------
        OSError
            If it isn't there.
        """
        if not path.is_dir():
            found = path.stat()
            return cls(found.st_size, found.st_mtime_ns)
        digest, size, latest = hashlib.sha256(), 0, 0
        for one in sorted(child for child in path.rglob("*") if child.is_file()):
            found = one.stat()
            size, latest = size + found.st_size, max(latest, found.st_mtime_ns)
            digest.update(f"{one.relative_to(path)}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
        return cls(size, latest, digest.hexdigest())


@dataclass(frozen=True)
class Unchanged:
    """A file or folder that has to stay as it is.

    Parameters
    ----------
    path
        Where it lies.
    state
        What it was known by when it was opened.
    """

    path: Path
    state: State

    @classmethod
    def of(cls, volume: Any) -> "Unchanged | None":
        """Watch what a volume is read from; None where its values are in memory, or its file can't be looked at."""
        if volume.path is None or (isinstance(volume.data, np.ndarray) and not isinstance(volume.data, np.memmap)):
            return None
        try:
            return cls(volume.path, volume.state or State.of(volume.path))
        except OSError:
            return None

    def check(self, *, folders: bool = True) -> None:
        """Make sure that it is as it was; without ``folders`` of a folder only that it is there, which takes no time.

        A store whose folder was moved away reads as if its chunks were empty.

        Raises
        ------
        ChangedError
            If it was changed.
        InputError
            If it is gone.
        """
        if self.state.files is not None and not folders and self.path.is_dir():
            return
        try:
            now = State.of(self.path)
        except FileNotFoundError:
            raise InputError(
                f"{self.path}: was moved or removed while it was scanned; put it back, and the same scan goes on"
            ) from None
        if now != self.state:
            how = (
                f"{self.state.bytes:,} bytes before and {now.bytes:,} now" if now.bytes != self.state.bytes else
                "as its time of change says"
            )  # fmt: skip
            raise ChangedError(
                f"{self.path}: was changed while it was scanned ({how}), so the scan was given up; scan again with "
                "--overwrite (overwrite=True) when nothing writes to it any more"
            )
