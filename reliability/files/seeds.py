"""Small valid files of every format, from the formats' own libraries where they are not written down here."""

import gzip
import io
import re
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reliability.files.mutating import Field

SHAPE = (4, 5, 6)


@dataclass(frozen=True)
class Seed:
    """A valid file.

    Parameters
    ----------
    name
        What it is called; the ending decides how it is read.
    files
        Its bytes under ``""``, or those of a folder's files by name.
    fields
        Where its header has numbers.
    """

    name: str
    files: dict[str, bytes]
    fields: tuple[Field, ...] = ()

    @property
    def content(self) -> bytes:
        return self.files[""]


def values(dtype: str, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 100, SHAPE).astype(dtype)


def mrc() -> list[Seed]:
    """Every mode, both byte orders, axes turned, with an extended header and without one."""
    found = []
    for index, (mode, dtype) in enumerate(((2, "f4"), (0, "i1"), (1, "i2"), (6, "u2"), (12, "f2"), (101, "u1"))):
        order, extended = "<>"[index % 2], 80 * (index % 3)
        z, y, x = SHAPE
        data = values(order + dtype)
        if mode == 101:
            data = data[..., ::2] % 16 + 16 * (data[..., 1::2] % 16)
        axes = ((1, 2, 3), (3, 1, 2), (2, 1, 3))[index % 3]
        counts = [(x, y, z)[axes.index(axis)] for axis in (1, 2, 3)]
        cell = [10.0 * count for count in counts]
        words = struct.pack(
            order + "10i6f3i3f2i", x, y, z, mode, 1, -2, 3, *counts, *cell, 90, 90, 90, *axes, 0, 127, 50, 1, extended
        )
        stamp = b"MAP " + (b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0")
        header = words.ljust(196, b"\0") + struct.pack(order + "3f", 1, 2, 3) + stamp
        header = (header + struct.pack(order + "fi", 30, 1) + b"a label").ljust(1024, b"\0")
        fields = [(4 * i, order + "i") for i in range(10)] + [(40 + 4 * i, order + "f") for i in range(6)]
        fields += [(64, order + "i"), (68, order + "i"), (72, order + "i"), (76, order + "f"), (80, order + "f")]
        fields += [(88, order + "i"), (92, order + "i"), (196, order + "f"), (200, order + "f"), (212, "<I")]
        found.append(Seed("a.mrc", {"": header + bytes(extended) + data.tobytes()}, tuple(fields)))
    return found


def em() -> list[Seed]:
    """Every type of value, both byte orders."""
    found = []
    for index, (code, dtype) in enumerate(((5, "f4"), (1, "i1"), (2, "i2"), (4, "i4"), (9, "f8"))):
        order, machine = (("<", 6), (">", 5))[index % 2]
        head = bytes((machine, 0, 0, code)) + struct.pack(order + "3i", *SHAPE[::-1])
        fields = ((0, "B"), (3, "B"), *((4 + 4 * i, order + "i") for i in range(3)))
        found.append(Seed("a.em", {"": head.ljust(512, b"\0") + values(order + dtype).tobytes()}, fields))
    return found


def tiff() -> list[Seed]:
    """Stacks of one page a section and of one page for all, packed and plain, in strips and tiles, of ImageJ."""
    import tifffile

    ways: list[tuple[str, dict[str, Any]]] = [
        ("f4", {}),
        ("u1", {"metadata": None}),
        ("i2", {"compression": "zlib", "predictor": True}),
        ("f4", {"compression": "zlib", "metadata": None, "rowsperstrip": 2}),
        ("u2", {"imagej": True, "resolution": (0.5, 0.25), "metadata": {"spacing": 3.0, "unit": "nm", "axes": "ZYX"}}),
        ("u2", {"byteorder": ">", "metadata": None}),
        ("f8", {"bigtiff": True, "metadata": None, "compression": "lzma"}),
        ("u1", {"tile": (16, 16), "metadata": None, "compression": "zlib"}),
        ("f4", {"ome": True, "metadata": {"axes": "ZYX"}}),
        ("u1", {"volumetric": True, "tile": (16, 16, 16)}),
    ]
    found = []
    for dtype, options in ways:
        stream = io.BytesIO()
        tifffile.imwrite(stream, values(dtype), photometric="minisblack", software="none", **options)
        # OME's is another every time
        content = re.sub(rb"(urn:uuid:)[0-9a-f-]{36}", rb"\g<1>" + b"0" * 36, stream.getvalue())
        found.append(Seed("a.tif", {"": content}, tuple(_entries(content))))
    return found


def _entries(content: bytes) -> Iterator[Field]:
    """Types, counts and values of the first directories' entries."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"\x2b\0", b"\0\x2b")
    size, code, head, step = (8, "Q", "Q", 20) if big else (4, "I", "H", 12)
    (place,) = struct.unpack_from(order + code, content, 8 if big else 4)
    yield (8 if big else 4), order + code
    for _ in range(2):
        if not place:
            return
        (count,) = struct.unpack_from(order + head, content, place)
        yield place, order + head
        first = place + struct.calcsize(head)
        for index in range(count):
            entry = first + step * index
            (kind,) = struct.unpack_from(order + "H", content, entry + 2)
            yield entry, order + "H"
            yield entry + 2, order + "H"
            yield entry + 4, order + code
            yield entry + 4 + size, order + ("H" if kind == 3 else code)
        (place,) = struct.unpack_from(order + code, content, first + step * count)
        yield first + step * count, order + code


def nifti() -> list[Seed]:
    """Versions 1 and 2, both byte orders, scaled and plain, packed and not."""
    import nibabel

    found = []
    for index, dtype in enumerate(("<f4", ">i2", "<u1", ">f8", "<i4")):
        kind, header = ((nibabel.Nifti1Image, nibabel.Nifti1Header), (nibabel.Nifti2Image, nibabel.Nifti2Header))[
            index % 2
        ]
        made = header(endianness=dtype[0])
        made.set_data_dtype(dtype)
        image = kind(values(dtype).T, np.diag([2.0, 3.0, 4.0, 1.0]), made)
        image.header.set_xyzt_units("micron")
        if index in (1, 2):
            image.header.set_slope_inter(0.5, -3.0)
        content = image.to_bytes()
        record = np.dtype(image.header.structarr.dtype)
        fields = tuple(
            (place + base.itemsize * i, dtype[0] + base.char.replace("l", "q").replace("S", "B"))
            for name in ("sizeof_hdr", "dim", "datatype", "bitpix", "pixdim", "vox_offset", "scl_slope", "scl_inter",
                         "xyzt_units", "qform_code", "sform_code", "magic")
            for (kind_, place) in [record.fields[name][:2]]
            for base in [kind_.base if kind_.base.char != "S" else np.dtype("u1")]
            for i in range(kind_.itemsize // base.itemsize)
        )  # fmt: skip
        found.append(Seed("a.nii", {"": content}, fields))
    found.append(Seed("a.nii.gz", {"": gzip.compress(found[0].content, mtime=0)}))
    return found


def _folder(path: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}
    # gzip keeps the time
    return {name: one[:4] + bytes(4) + one[8:] if one[:2] == b"\x1f\x8b" else one for name, one in found.items()}


def zarr(version: int) -> list[Seed]:
    """OME-Zarr 0.4 in Zarr 2 or 0.5 in Zarr 3: an image, one with more axes, a plain array, another compression."""
    import zarr as library

    found = []
    for kind in ("image", "five axes", "array", "other"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "a.zarr")
            data = values("<f4" if kind != "five axes" else ">i2")
            sizes = {"t": 1, "c": 1, "z": 2, "y": 3, "x": 6}
            axes = "tczyx" if kind == "five axes" else "zyx"
            packing: dict[str, Any] = {"compressors": None if kind == "five axes" else _packing(version, kind)}
            shape = (1,) * (len(axes) - 3) + SHAPE
            options = {"shape": shape, "dtype": data.dtype, "chunks": tuple(sizes[a] for a in axes), **packing}
            if kind == "array":
                array = library.create_array(path, zarr_format=version, fill_value=7, **options)
            else:
                group = library.open_group(path, mode="w", zarr_format=version)
                if kind == "other" and version == 3:
                    options = {**options, "chunks": (2, 3, 3), "shards": (4, 6, 6)}
                array = group.create_array("0", **options)
                units = [{"name": a, "type": "space", "unit": "nanometer"} if a in "zyx" else {"name": a} for a in axes]
                steps = [
                    {"type": "scale", "scale": [1.5] * len(axes)},
                    {"type": "translation", "translation": [2.0] * len(axes)},
                ]
                image = {"axes": units, "datasets": [{"path": "0", "coordinateTransformations": steps}], "name": "a"}
                about = {"multiscales": [{**image, "version": "0.4"}]}
                group.attrs.update(about if version == 2 else {"ome": {"version": "0.5", "multiscales": [image]}})
            with library.config.set({"async.concurrency": 1}):  # or shards hold their chunks in any order
                array[...] = data.reshape(shape)
            found.append(Seed("a.zarr", _folder(path)))
    return found


def _packing(version: int, kind: str) -> Any:
    import numcodecs
    from zarr.codecs import GzipCodec, ZstdCodec

    if version == 2:
        return numcodecs.Zlib(1) if kind != "other" else numcodecs.Blosc("lz4")
    return GzipCodec(level=1) if kind != "other" else ZstdCodec()


STAR = """
# version 50001

data_global

loop_
_rlnTomoName #1
_rlnTomoTiltSeriesPixelSize #2
_rlnTomoTomogramBinning #3
_rlnTomoReconstructedTomogramHalf1 #4
_rlnTomoReconstructedTomogram #5
TS_01 2.39 6.000000 half1/TS_01.mrc tomograms/TS_01.mrc
TS_02 2.39 4.2 half1/TS_02.mrc 'tomograms/TS 02.mrc'
"""
PAIRS = (
    "data_\n\n_rlnTomoName TS_01\n_rlnTomoReconstructedTomogram tomograms/TS_01.mrc\n"
    "_rlnTomoTiltSeriesPixelSize 5\n_rlnTomoTomogramBinning 2\n"
)


def star() -> list[Seed]:
    """Lists of tomograms of RELION as a table and as pairs, and as text; the volumes lie beside them."""
    plain = mrc()[0].content
    volumes = {f"tomograms/{name}.mrc": plain for name in ("TS_01", "TS 02")}
    text = "# two\ntomograms/TS_01.mrc\n\ntomograms/TS 02.mrc\n"
    lists = (("a.star", STAR), ("a.star", PAIRS), ("a.txt", text))
    return [Seed(name, {name: content.encode(), **volumes}) for name, content in lists]


def pictures() -> list[Seed]:
    """PNG of 8 and 16 bits, JPEG and TIFF."""
    from PIL import Image

    grey = values("u1").reshape(12, 10)
    found = []
    for name, array in (("a.png", grey), ("a.jpg", grey), ("a.png", grey.astype("u2") * 500), ("a.tif", grey)):
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, {"a.png": "PNG", "a.jpg": "JPEG", "a.tif": "TIFF"}[name])
        found.append(Seed(name, {"": stream.getvalue()}))
    return found
