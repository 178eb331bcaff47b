"""The bytes of a file, plain or compressed, read at any place by any thread."""

import bz2
import gzip
import os
import tempfile
import weakref
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError

PIECE_BYTES = 1 << 24
LARGEST_IN_MEMORY = 1 << 28
OPENERS: dict[bytes, Callable[[Path], gzip.GzipFile | bz2.BZ2File]] = {b"\x1f\x8b": gzip.GzipFile, b"BZ": bz2.BZ2File}


class Contents(ABC):
    """What a file holds, unpacked. A pickled one opens the file again, by its name.

    Parameters
    ----------
    path
        The file, as a person named it.
    size
        Bytes.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size

    def __reduce__(self) -> tuple[Any, ...]:
        return open_contents, (self.path.absolute(),)

    def head(self, count: int) -> bytes:
        """Return the first bytes, fewer where the file is shorter."""
        first = np.empty(min(count, self.size), np.uint8)
        self.read_into(first, 0)
        return first.tobytes()

    @abstractmethod
    def read_into(self, array: NDArray[Any], offset: int) -> None:
        """Fill a contiguous array with the bytes that start at an offset.

        Raises
        ------
        InputError
            If they cannot be read, or the file has become too short.
        """


class _OnDisk(Contents):
    """Read with ``pread``: a mapped file would count as resident memory, and end the process where it shrinks."""

    def __init__(self, path: Path, descriptor: int) -> None:
        super().__init__(path, os.fstat(descriptor).st_size)
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    def read_into(self, array: NDArray[Any], offset: int) -> None:
        left = array.reshape(-1).view(np.uint8).data
        while left:
            try:
                count = os.preadv(self._descriptor, [left], offset)
            except OSError as error:
                raise InputError(f"{self.path}: cannot be read ({error.strerror}); check the disk it lies on") from None
            if not count:
                raise InputError(
                    f"{self.path}: ends at byte {offset:,}, and had {self.size:,} when it was opened; something wrote "
                    "to it or cut it short: wait until it is finished, or copy it again"
                )
            left, offset = left[count:], offset + count


class _InMemory(Contents):
    def __init__(self, path: Path, content: bytearray) -> None:
        super().__init__(path, len(content))
        self._content = np.frombuffer(content, np.uint8)

    def read_into(self, array: NDArray[Any], offset: int) -> None:
        flat = array.reshape(-1).view(np.uint8)
        flat[:] = self._content[offset : offset + len(flat)]


def open_contents(path: Path) -> Contents:
    """Open a file; what gzip or bzip2 packed, whatever its name, is unpacked.

    Up to 256 MB are unpacked into memory, more into a file without a name in the folder for temporary files
    (``TMPDIR``), which is gone when the contents are.

    Raises
    ------
    InputError
        If the file is missing, may not be read, its packed content is damaged, or there is no room to unpack it.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.gz"
    ...     _ = path.write_bytes(gzip.compress(b"density"))
    ...     open_contents(path).head(4)
    b'dens'
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the file and its rights") from None
    plain = _OnDisk(path, descriptor)
    opener = OPENERS.get(plain.head(2))
    return plain if opener is None else _unpacked(path, opener)


def _unpacked(path: Path, opener: Callable[[Path], gzip.GzipFile | bz2.BZ2File]) -> Contents:
    kept = bytearray()
    spilled: IO[bytes] | None = None
    try:
        with opener(path) as stream:
            while piece := stream.read(PIECE_BYTES):
                if spilled is None and len(kept) + len(piece) <= LARGEST_IN_MEMORY:
                    kept += piece
                    continue
                spilled = spilled or _spill(path, None, kept)
                kept = bytearray()
                _spill(path, spilled, piece)
        return _InMemory(path, kept) if spilled is None else _OnDisk(path, os.dup(spilled.fileno()))
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: the compressed data is damaged ({error}); copy or export the file again") from None
    finally:
        if spilled is not None:
            spilled.close()


def _spill(path: Path, file: IO[bytes] | None, piece: bytes | bytearray) -> IO[bytes]:
    """Write to a temporary file, a new one at first."""
    try:
        file = file or tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by who reads it
        left = memoryview(piece)
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise InputError(
            f"{path}: no room to unpack it in {tempfile.gettempdir()} ({error.strerror}); unpack the file, or name a "
            "larger folder in the environment variable TMPDIR"
        ) from None
    return file
