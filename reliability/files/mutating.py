"""Seeded damage to bytes: bits, runs, fields of a header, lengths, pieces."""

import math
import random
import struct
from collections.abc import Callable, Sequence

Field = tuple[int, str]  # offset, and the struct code of its type with its byte order
Damage = Callable[[bytes, random.Random, Sequence[Field]], bytes]

REALS = (0.0, -0.0, -1.0, 1e-40, 1e38, math.nan, math.inf, -math.inf, 65535.5, 1e9)


def extremes(code: str) -> tuple[float, ...]:
    """Values of a type that headers should not hold, and some that they may."""
    kind = code[-1]
    if kind in "efd":
        return tuple(value for value in REALS if kind != "e" or not 65504 < abs(value) < math.inf)
    bits = 8 * struct.calcsize(code)
    whole = {0, 1, 2, 3, 7, 100, 1 << (bits // 2), 1 << (bits - 2), (1 << (bits - 1)) - 1}
    if kind.islower():
        return tuple(sorted(whole | {-1, -2, -(1 << (bits - 1))}))
    return tuple(sorted(whole | {1 << (bits - 1), (1 << bits) - 1}))


def flipped(content: bytes, rng: random.Random, fields: Sequence[Field]) -> bytes:
    """Turn one to eight bits over, half of the time where the header is."""
    out = bytearray(content)
    end = len(out) if rng.random() < 0.5 or not fields else min(len(out), max(offset for offset, _ in fields) + 8)
    for _ in range(rng.randint(1, 8) if end else 0):
        out[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwritten(content: bytes, rng: random.Random, fields: Sequence[Field]) -> bytes:
    """Replace a run of bytes by zeros, ones or noise."""
    del fields
    length = min(len(content), rng.choice((1, 2, 4, 8, 16, 64, 256)))
    start = rng.randint(0, len(content) - length)
    run = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return content[:start] + run + content[start + length :]


def set_to_extreme(content: bytes, rng: random.Random, fields: Sequence[Field]) -> bytes:
    """Set up to three fields of the header to values that break sums."""
    out = bytearray(content)
    for offset, code in rng.sample(list(fields), min(len(fields), rng.choice((1, 1, 2, 3)))):
        size = struct.calcsize(code)
        if offset + size <= len(out):
            out[offset : offset + size] = struct.pack(code, rng.choice(extremes(code)))
    return bytes(out)


def shortened(content: bytes, rng: random.Random, fields: Sequence[Field]) -> bytes:
    """Cut the end off."""
    del fields
    return content[: rng.choice((rng.randint(0, len(content)), max(0, len(content) - rng.randint(1, 16))))]


def lengthened(content: bytes, rng: random.Random, fields: Sequence[Field]) -> bytes:
    """Append zeros, noise, or the file once more."""
    del fields
    length = rng.choice((1, 3, 16, 512, 4096))
    return content + rng.choice((bytes(length), rng.randbytes(length), content[:length]))


def shuffled(content: bytes, rng: random.Random, fields: Sequence[Field]) -> bytes:
    """Double, drop or swap pieces."""
    del fields
    size = min(len(content), rng.choice((1, 2, 4, 12, 64, 512)))
    first, second = sorted((rng.randint(0, len(content) - size), rng.randint(0, len(content) - size)))
    piece, other = content[first : first + size], content[second : second + size]
    kind = rng.randrange(3)
    if kind == 0:
        return content[:first] + piece + content[first:]
    if kind == 1:
        return content[:first] + content[first + size :]
    out = bytearray(content)
    out[first : first + size], out[second : second + size] = other, piece
    return bytes(out)


KINDS: tuple[Damage, ...] = (flipped, overwritten, set_to_extreme, set_to_extreme, shortened, lengthened, shuffled)


def damaged(content: bytes, rng: random.Random, fields: Sequence[Field] = ()) -> bytes:
    """Damage bytes once to three times."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        content = rng.choice(KINDS)(content, rng, fields)
    return content
