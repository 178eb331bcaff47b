"""Packed parts of a file: whether they hold more than they may, before the room for it is taken."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

# One byte of a packed part stands for no more bytes than this: deflate reaches 1032, and what packs closer (bzip2,
# LZMA, Zstandard) is met in parts of pure padding alone.
LARGEST_RATIO = 1 << 15

DEFLATE_RATIO = 1032
ALWAYS = 1 << 25  # bytes that any part may unpack to
MEMBERS = 16  # streams in one part, one behind the other; who packs chunks writes one
PIECE = 1 << 20

_MAKERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "zlib": zlib.decompressobj,
    "bz2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
}
PACKERS = (*_MAKERS, "zstd", "blosc", "lz4", "packbits")
"""What packs values into fewer bytes, by the names that Zarr has for them."""

_ZSTANDARD, _SKIPPED = b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"
_ZSTANDARD_BLOCK = 1 << 17  # bytes that a block holds at most
_LEAST = 1 << 10  # bytes that a block counts as at least, so that empty ones come to an end


def unpacks_beyond(packer: str, content: bytes, limit: int) -> bool:
    """Whether a packed part unpacks to more bytes than it should, and than 32 MB.

    Parameters
    ----------
    packer
        One of `PACKERS`; others don't unpack to more, and False is returned for them.
    content
        The part.
    limit
        Bytes that it should unpack to.

    Examples
    --------
    >>> packed = zlib.compress(bytes(10**8))
    >>> unpacks_beyond("zlib", packed, 10**8), unpacks_beyond("zlib", packed, 10**8 - 1)
    (False, True)
    """
    limit = max(limit, ALWAYS)
    if packer in _MAKERS:
        if packer in ("gzip", "zlib") and len(content) * DEFLATE_RATIO <= limit:
            return False
        return _streams_beyond(_MAKERS[packer], content, limit)
    if packer == "zstd":
        return _frames(content, limit) > limit
    if packer == "packbits":
        return 8 * len(content) > limit
    place = {"blosc": 4, "lz4": 0}.get(packer)
    return place is not None and int.from_bytes(content[place : place + 4], "little") > limit


def _streams_beyond(make: Callable[[], Any], content: bytes, limit: int) -> bool:
    """Unpack piece by piece and forget it; a damaged part is found out by who unpacks it."""
    count, left = 0, content
    try:
        for _ in range(MEMBERS):
            machine = make()
            while count <= limit and not machine.eof:
                got = len(machine.decompress(left, PIECE))
                left = machine.unconsumed_tail if hasattr(machine, "unconsumed_tail") else b""
                if not got and not left and not machine.eof:
                    return False  # it ends in the middle
                count += got
            left = machine.unused_data
            if count > limit or not left:
                return count > limit
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
        return False
    return True


def _frames(content: bytes, limit: int) -> int:
    """Bytes that frames of Zstandard unpack to, counted no further than a limit: as they say, or at most (RFC 8878)."""
    total, place = 0, 0
    while place + 4 < len(content) and total <= limit:
        if content[place + 1 : place + 4] == _SKIPPED:
            place += 8 + int.from_bytes(content[place + 4 : place + 8], "little")
            total += _LEAST
            continue
        if content[place : place + 4] != _ZSTANDARD:
            break
        flags = content[place + 4]
        single = bool(flags & 32)
        place += 5 + (not single) + (0, 1, 2, 4)[flags & 3]
        length = (1 if single else 0, 2, 4, 8)[flags >> 6]
        said = int.from_bytes(content[place : place + length], "little") + (256 if length == 2 else 0)
        place, held = _blocks(content, place + length, limit)
        place += 4 if flags & 4 else 0
        total += said if length else held
    return total


def _blocks(content: bytes, place: int, limit: int) -> tuple[int, int]:
    """Where the blocks of a frame end, and how many bytes they hold at most."""
    held, last = 0, False
    while not last and place + 3 <= len(content) and held <= limit:
        head = int.from_bytes(content[place : place + 3], "little")
        last, kind, size = bool(head & 1), head >> 1 & 3, head >> 3
        held += max(_LEAST, size if kind < 2 else _ZSTANDARD_BLOCK)
        place += 3 + (1 if kind == 1 else size)
    return place, held
