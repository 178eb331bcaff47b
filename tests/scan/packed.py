"""Packed parts that unpack to far more than they should."""

import bz2
import gzip
import lzma
import zlib


def zstandard(blocks, size=None):
    """A frame of blocks of 128 kB of zeros, 4 bytes each, that says how much it holds or doesn't."""
    head = bytes([0xA0]) + size.to_bytes(4, "little") if size is not None else b"\x00\x58"
    each = [(last | 1 << 1 | 1 << 17 << 3).to_bytes(3, "little") + b"\0" for last in [0] * (blocks - 1) + [1]]
    return b"\x28\xb5\x2f\xfd" + head + b"".join(each)


LARGE = 80 << 20


PACKED = {
    "zlib": zlib.compress(bytes(LARGE)),
    "gzip": gzip.compress(bytes(LARGE)),
    "gzip, two members": gzip.compress(bytes(100)) + gzip.compress(bytes(LARGE)),
    "gzip, many members": gzip.compress(bytes(1)) * 2000,
    "bz2": bz2.compress(bytes(LARGE)),
    "lzma": lzma.compress(bytes(LARGE)),
    "zstd": zstandard(LARGE >> 17, LARGE),
    "zstd that doesn't say": zstandard(LARGE >> 17),
    "zstd, two frames": zstandard(1) + zstandard(LARGE >> 17),
    "zstd, empty blocks": b"\x28\xb5\x2f\xfd\x00\x58" + bytes(3 * (LARGE >> 10)),
    "blosc": b"\2\1\0\1" + LARGE.to_bytes(4, "little") * 3,
    "lz4": LARGE.to_bytes(4, "little") + bytes(20),
    "packbits": bytes(LARGE >> 3),
}
