"""The bytes of a file, plain or compressed, read at any place by any thread."""

import bz2
import errno
import gzip
import os
import shutil
import tempfile
import weakref
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from camfast.errors import InputError

PIECE_BYTES = 1 << 24
LARGEST_IN_MEMORY = 1 << 28
LARGEST_REST = 1 << 28  # of what may stand behind the values
Opener = type[gzip.GzipFile] | type[bz2.BZ2File]
OPENERS: dict[bytes, Opener] = {b"\x1f\x8b": gzip.GzipFile, b"BZ": bz2.BZ2File}
LARGEST_RATIO = {gzip.GzipFile: 1040, bz2.BZ2File: 1 << 21}  # of the bytes that come out to those that were packed


class Contents(ABC):
    """What a file holds, unpacked. A pickled one opens the file again, by its name.

    Parameters
    ----------
    path
        The file, as a person named it.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._wanted = path, 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _held, (self.path.absolute(), self._wanted)

    @abstractmethod
    def head(self, count: int) -> bytes:
        """Return the first bytes, fewer where the file is shorter."""

    def hold(self, count: int) -> int:
        """Make so many bytes ready to be read, and return how many there are: more, where the file is longer.

        A packed file is unpacked as far as that, and to its end, to see that it is whole.

        Raises
        ------
        InputError
            If packed content is damaged, or far more than that, or there is no room to unpack it.
        """
        self._wanted = max(count, self._wanted)
        return self._hold(count)

    @abstractmethod
    def _hold(self, count: int) -> int:
        """As `hold`."""

    @abstractmethod
    def read_into(self, array: NDArray[Any], offset: int) -> None:
        """Fill a contiguous array with the bytes that start at an offset, among those that are held.

        Raises
        ------
        InputError
            If they cannot be read, or the file has become too short.
        """


class _OnDisk(Contents):
    """Read with ``pread``: a mapped file would count as resident memory, and end the process where it shrinks."""

    def __init__(self, path: Path, descriptor: int) -> None:
        super().__init__(path)
        self._descriptor, self._size = descriptor, os.fstat(descriptor).st_size
        weakref.finalize(self, os.close, descriptor)

    def head(self, count: int) -> bytes:
        first = np.empty(min(count, self._size), np.uint8)
        self.read_into(first, 0)
        return first.tobytes()

    def _hold(self, count: int) -> int:  # noqa: ARG002 - all of it is there
        return self._size

    def read_into(self, array: NDArray[Any], offset: int) -> None:
        left = array.reshape(-1).view(np.uint8).data
        while left:
            try:
                count = os.preadv(self._descriptor, [left], offset)
            except OSError as error:
                raise InputError(f"{self.path}: cannot be read ({error.strerror}); check the disk it lies on") from None
            if not count:
                raise InputError(
                    f"{self.path}: ends at byte {offset:,}, and had {self._size:,} when it was opened; something wrote "
                    "to it or cut it short: wait until it is finished, or copy it again"
                )
            left, offset = left[count:], offset + count


class _InMemory(Contents):
    def __init__(self, path: Path, content: bytearray) -> None:
        super().__init__(path)
        self._content = np.frombuffer(content, np.uint8)

    def head(self, count: int) -> bytes:
        return self._content[:count].tobytes()

    def _hold(self, count: int) -> int:  # noqa: ARG002 - all of it is there
        return len(self._content)

    def read_into(self, array: NDArray[Any], offset: int) -> None:
        flat = array.reshape(-1).view(np.uint8)
        flat[:] = self._content[offset : offset + len(flat)]


class _Packed(Contents):
    """Unpacked when it is known how much of it is wanted: a small file may unpack to more than any disk holds.

    Up to 256 MB are unpacked into memory, more into a file without a name in the folder for temporary files
    (``TMPDIR``), which is gone when the contents are.
    """

    def __init__(self, path: Path, opener: Opener, size: int) -> None:
        super().__init__(path)
        self._opener, self._packed, self._there = opener, size, 0
        self._unpacked: Contents | None = None

    def head(self, count: int) -> bytes:
        with self._damages(), self._opener(self.path) as stream:
            return stream.read(count)

    def _hold(self, count: int) -> int:
        if count > (most := self._packed * LARGEST_RATIO[self._opener]):
            raise InputError(
                f"{self.path}: truncated: the header promises {count:,} bytes, and the {self._packed:,} packed ones "
                f"hold no more than {most:,}; copy or export the file again"
            )
        kept, there = bytearray(), 0
        spilled: IO[bytes] | None = None
        try:
            with self._damages(), self._opener(self.path) as stream:
                while piece := stream.read(PIECE_BYTES):
                    piece, there = piece[: max(0, count - there)], there + len(piece)
                    if there > 2 * count + LARGEST_REST:
                        raise InputError(
                            f"{self.path}: unpacks to more than {there:,} bytes, and its header promises {count:,}; "
                            "copy or export the file again"
                        )
                    if spilled is None and len(kept) + len(piece) <= LARGEST_IN_MEMORY:
                        kept += piece
                    elif piece:
                        spilled = spilled or _spill(self.path, _temporary(self.path, count), kept)
                        kept = bytearray()
                        _spill(self.path, spilled, piece)
            self._unpacked = (
                _InMemory(self.path, kept) if spilled is None else _OnDisk(self.path, os.dup(spilled.fileno()))
            )
        finally:
            if spilled is not None:
                spilled.close()
        return there

    def read_into(self, array: NDArray[Any], offset: int) -> None:
        if self._unpacked is None:
            raise ValueError("hold what is read first")
        self._unpacked.read_into(array, offset)

    @contextmanager
    def _damages(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError, ValueError, zlib.error) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{self.path}: the compressed data is damaged ({error}); copy or export the file again"
            ) from None


def open_contents(path: Path) -> Contents:
    """Open a file; what gzip or bzip2 packed, whatever its name, is unpacked by `Contents.hold`.

    Raises
    ------
    InputError
        If the file is missing or may not be read.

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
    return plain if opener is None else _Packed(path, opener, plain.hold(0))


def _held(path: Path, count: int) -> Contents:
    contents = open_contents(path)
    contents.hold(count)
    return contents


def _temporary(path: Path, count: int) -> IO[bytes]:
    """Make a temporary file where there is room for so many bytes."""
    try:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if free < count:
            raise OSError(errno.ENOSPC, f"it takes {count:,} bytes and {free:,} are free")
        return tempfile.TemporaryFile(buffering=0)
    except OSError as error:
        raise _no_room(path, error) from None


def _spill(path: Path, file: IO[bytes], piece: bytes | bytearray) -> IO[bytes]:
    try:
        left = memoryview(piece)
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise _no_room(path, error) from None
    return file


def _no_room(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: no room to unpack it in {tempfile.gettempdir()} ({error.strerror}); unpack the file, or name a "
        "larger folder in the environment variable TMPDIR"
    )
