"""Packed parts of a file: whether they hold more than they may, before the room for it is taken."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

# One byte of a packed part stands for no more bytes than this, 64 kB and less are not worth a look: deflate reaches
# 1032, and what packs closer (bzip2, LZMA, Zstandard) is met in parts of pure padding alone.
LARGEST_RATIO = 1 << 15
SMALL = 1 << 16

_MAKERS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(31),
    b"\x78": zlib.decompressobj,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
}
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


def holds_more(content: bytes, limit: int) -> bool:
    """Whether a packed part unpacks to more bytes than it should.

    Parameters
    ----------
    content
        The part, packed by deflate (zlib or gzip), bzip2, LZMA or Zstandard; False is returned for others.
    limit
        Bytes that it should unpack to.

    Examples
    --------
    >>> holds_more(zlib.compress(bytes(10**6)), 10**6), holds_more(zlib.compress(bytes(10**6)), 10**6 - 1)
    (False, True)
    """
    if (size := says_of_itself(content)) is not None:
        return size > limit
    for mark, make in _MAKERS.items():
        if content.startswith(mark):
            return _unpacks_beyond(make(), content, limit)
    return False


def _unpacks_beyond(machine: Any, content: bytes, limit: int) -> bool:
    """Unpack piece by piece and forget it; a damaged part is found out by who unpacks it."""
    left, count, piece = content, 0, 1 << 20
    try:
        while count <= limit and not machine.eof:
            got = len(machine.decompress(left, piece))
            left = machine.unconsumed_tail if hasattr(machine, "unconsumed_tail") else b""
            if not got and (not left or machine.eof):
                break
            count += got
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
        return False
    return count > limit


def says_of_itself(content: bytes) -> int | None:
    """Bytes that a part packed by Zstandard or Blosc says it unpacks to, for which room is made; None for others."""
    if content.startswith(_ZSTANDARD):
        flags = content[4] if len(content) > 4 else 0
        place = 5 + (0 if flags & 32 else 1) + (0, 1, 2, 4)[flags & 3]
        length = (1 if flags & 32 else 0, 2, 4, 8)[flags >> 6]
        size = int.from_bytes(content[place : place + length], "little")
        return size + 256 if length == 2 else size
    if len(content) >= 16 and content[0] in (1, 2) and content[1] == 1:
        return int.from_bytes(content[4:8], "little")
    return None
