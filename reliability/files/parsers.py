"""What the bytes of a volume say, read without camfast and without the libraries that it reads them by.

Each parser gives every reading that the bytes allow, as headers leave some things open: what camfast makes of a file
has to be one of them. No reading at all means that it has to be refused.
"""

import bz2
import contextlib
import gzip
import json
import math
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

LARGEST = 1 << 26


@dataclass(frozen=True)
class Reading:
    """Values (z, y, x), None where they cannot be had here, and edges of a voxel, None where they are not looked at."""

    shape: tuple[int, ...]
    values: np.ndarray[Any, Any] | None = None
    voxel: tuple[float, ...] | None = None


def unpacked(content: bytes) -> bytes | None:
    """The bytes that are in packed ones, as far as they can be had; None where nothing can."""
    for mark, module in ((b"\x1f\x8b", gzip), (b"BZ", bz2)):
        if content.startswith(mark):
            try:
                return module.decompress(content)
            except (OSError, EOFError, ValueError, zlib.error):
                return _as_far_as_it_goes(content, module is gzip)
    return content


def _as_far_as_it_goes(content: bytes, gzipped: bool) -> bytes | None:
    """A file may be whole as far as the header needs it, and damaged behind that."""
    found, step = b"", 1
    try:
        machine = zlib.decompressobj(31) if gzipped else bz2.BZ2Decompressor()
        for start in range(0, len(content), step):
            found += machine.decompress(content[start : start + step])
    except (OSError, EOFError, ValueError, zlib.error):
        pass
    return found or None


def mrc(content: bytes) -> Iterator[Reading]:
    if len(content) < 1024:
        return
    for order in "<>":
        x, y, z, mode = struct.unpack_from(order + "4i", content)
        axes = struct.unpack_from(order + "3i", content, 64)
        axes = (1, 2, 3) if axes == (0, 0, 0) else axes
        (extended,) = struct.unpack_from(order + "i", content, 92)
        kinds = {0: ("i1", "u1"), 1: ("i2",), 2: ("f4",), 6: ("u2",), 12: ("f2",), 101: ("u1",)}
        if min(x, y, z) < 1 or extended < 0 or sorted(axes) != [1, 2, 3] or mode not in kinds:
            continue
        counts, lengths = struct.unpack_from(order + "3i", content, 28), struct.unpack_from(order + "3f", content, 40)
        voxel = tuple(
            length / count if count > 0 else 0.0 for length, count in zip(lengths, counts, strict=True)
        )[::-1]  # fmt: skip
        place = [2 - axes[::-1].index(axis) if False else axes[::-1].index(axis) for axis in (3, 2, 1)]
        for kind in kinds[mode]:
            width = -(-x // 2) if mode == 101 else x
            data = _block(content, order + kind, (z, y, width), 1024 + extended)
            if data is None:
                continue
            if mode == 101:
                data = np.stack([data & 15, data >> 4], -1).reshape(z, y, -1)[..., :x]
            data = data.transpose(place)
            yield Reading(data.shape, data, voxel)


def _block(content: bytes, dtype: str, shape: tuple[int, ...], offset: int) -> np.ndarray[Any, Any] | None:
    count = math.prod(shape)
    if offset < 0 or offset + count * np.dtype(dtype).itemsize > len(content):
        return None
    return np.frombuffer(content, dtype, count, offset).reshape(shape)


def em(content: bytes) -> Iterator[Reading]:
    kinds = {1: "i1", 2: "i2", 4: "i4", 5: "f4", 9: "f8"}
    if len(content) < 512 or content[3] not in kinds:
        return
    order = ">" if content[0] in (0, 3, 5) else "<"
    x, y, z = struct.unpack_from(order + "3i", content, 4)
    if min(x, y, z) > 0 and (data := _block(content, order + kinds[content[3]], (z, y, x), 512)) is not None:
        yield Reading(data.shape, data)


NIFTI_KINDS = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}


def nifti(content: bytes) -> Iterator[Reading]:
    for order in "<>":
        for version in (1, 2):
            if len(content) >= (348, 540)[version - 1]:
                yield from _nifti(content, order, version)


def _nifti(content: bytes, order: str, version: int) -> Iterator[Reading]:
    if version == 1:
        dims, (kind,) = struct.unpack_from(order + "8h", content, 40), struct.unpack_from(order + "h", content, 70)
        pixdim, (offset,) = struct.unpack_from(order + "8f", content, 76), struct.unpack_from(order + "f", content, 108)
        slope, inter = struct.unpack_from(order + "2f", content, 112)
        unit = content[123]
    else:
        dims, (kind,) = struct.unpack_from(order + "8q", content, 16), struct.unpack_from(order + "h", content, 12)
        pixdim, (offset,) = (
            struct.unpack_from(order + "8d", content, 104),
            struct.unpack_from(order + "q", content, 168),
        )
        slope, inter = struct.unpack_from(order + "2d", content, 176)
        (unit,) = struct.unpack_from(order + "i", content, 500)
    if kind not in NIFTI_KINDS or dims[0] < 3 or not math.isfinite(offset):
        return
    sizes = dims[1 : 1 + dims[0]]  # all seven where it is more
    if min(sizes) < 1 or any(size != 1 for size in sizes[3:]):
        return
    for start in {int(offset), max(int(offset), 352 if version == 1 else 544)}:
        data = _block(content, order + NIFTI_KINDS[kind], sizes[2::-1], start)
        if data is None:
            continue
        if math.isfinite(slope) and slope != 0 and math.isfinite(inter) and (slope, inter) != (1, 0):
            data = data * np.float64(slope) + np.float64(inter)
        factor = {1: 1e10, 2: 1e7, 3: 1e4}.get(unit & 7, 0.0)
        yield Reading(data.shape, data, tuple(abs(edge) * factor for edge in pixdim[3:0:-1]))


def tiff(content: bytes) -> Iterator[Reading]:
    """Pages in their order; a stack on one page, or with axes of its own, is compared by its numbers alone."""
    try:
        pages = list(_pages(content))
    except (struct.error, ValueError, OverflowError):
        pages = []
    if pages:
        yield Reading((len(pages), _one(pages[0], 257), _one(pages[0], 256)), _stack(content, pages))


SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}


def _pages(content: bytes) -> Iterator[dict[Any, Any]]:
    order = {b"II": "<", b"MM": ">"}[content[:2]] if content[:2] in (b"II", b"MM") else "?"
    if order == "?":
        return
    big = struct.unpack_from(order + "H", content, 2)[0] == 43
    size, code, head = (8, "Q", "Q") if big else (4, "I", "H")
    (place,) = struct.unpack_from(order + code, content, 8 if big else 4)
    seen: set[int] = set()
    while place and place not in seen and len(seen) < 1000:
        seen.add(place)
        (count,) = struct.unpack_from(order + head, content, place)
        first = place + struct.calcsize(head)
        page: dict[Any, Any] = {"order": order}
        for index in range(min(count, 1000)):
            entry = first + (4 + 2 * size) * index
            tag, kind = struct.unpack_from(order + "2H", content, entry)
            (number,) = struct.unpack_from(order + code, content, entry + 4)
            at = entry + 4 + size
            with contextlib.suppress(struct.error):  # of an entry that may not matter
                if SIZES.get(kind, 0) * number > size:
                    (at,) = struct.unpack_from(order + code, content, at)
                if kind in CODES and number < 10000:
                    found = struct.unpack_from(f"{order}{number}{CODES[kind]}", content, at)
                    page.setdefault(tag, found if number != 1 or tag in (273, 279) else found[0])
                elif kind == 2:
                    page.setdefault(tag, content[at : at + number])
        yield page
        (place,) = struct.unpack_from(order + code, content, first + (4 + 2 * size) * count)


def _one(page: dict[Any, Any], tag: int, otherwise: int = 0) -> int:
    """A tag's only value, or the first of several."""
    found = page.get(tag, otherwise)
    return int(found[0]) if isinstance(found, tuple) and found else found if isinstance(found, int) else otherwise


def _stack(content: bytes, pages: list[dict[Any, Any]]) -> np.ndarray[Any, Any] | None:
    """Values of plain and deflated pages in strips; None where something else is met."""
    found = []
    for page in pages:
        bits, kind, packing = _one(page, 258, 1), _one(page, 339, 1), _one(page, 259, 1)
        dtype = {(8, 1): "u1", (16, 1): "u2", (16, 2): "i2", (32, 3): "f4", (64, 3): "f8"}.get((bits, kind))
        if dtype is None or packing not in (1, 8) or _one(page, 317, 1) != 1 or 273 not in page or 322 in page:
            return None
        data = b""
        for offset, count in zip(page[273], page.get(279, ()), strict=False):
            strip = content[offset : offset + count]
            try:
                data += strip if packing == 1 else zlib.decompressobj().decompress(strip, LARGEST)
            except zlib.error:
                return None
        values = _block(data, page["order"] + dtype, (_one(page, 257), _one(page, 256)), 0)
        if values is None or _one(page, 266, 1) != 1 or _one(page, 277, 1) != 1:
            return None
        found.append(values)
    alike = len({(page.shape, page.dtype) for page in found}) == 1
    return np.stack(found) if alike else None


def of_its_own_axes(content: bytes) -> bool:
    """Whether a TIFF says by other means than its pages what its axes are: ImageJ, OME, tifffile, or volumes."""
    marks = (rb"ImageJ=", rb"<OME", rb'"shape"')
    return any(re.search(mark, content) for mark in marks) or any(
        32997 in page or 317 in page or isinstance(page.get(256), tuple) or isinstance(page.get(257), tuple)
        for page in _safe(content)
    )


def _safe(content: bytes) -> list[dict[Any, Any]]:
    try:
        return list(_pages(content))
    except (struct.error, ValueError, OverflowError):
        return []


__all__ = ["Reading", "em", "json", "mrc", "nifti", "of_its_own_axes", "tiff", "unpacked"]
