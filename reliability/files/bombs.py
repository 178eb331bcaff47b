"""Files made to unpack to far more than they are, or that claim what no disk holds."""

import bz2
import gzip
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reliability.files import seeds, seeds_of_weights
from reliability.files.damaging import Files
from reliability.files.seeds import Seed

LARGE = 3 << 28  # bytes that come out


def _set(content: bytes, *places: tuple[int, str, float]) -> bytes:
    out = bytearray(content)
    for offset, code, value in places:
        struct.pack_into(code, out, offset, value)
    return bytes(out)


def _mrc(side: int) -> bytes:
    return _set(seeds.mrc()[0].content, *((4 * axis, "<i", side) for axis in range(3)))


def _packed(pack: Callable[[], Any], head: bytes) -> bytes:
    """A packed file of zeros behind a head, made piece by piece."""
    machine, out = pack(), []
    out.append(machine.compress(head))
    for _ in range(LARGE >> 22):
        out.append(machine.compress(bytes(1 << 22)))
    return b"".join([*out, machine.flush()])


def _gzip() -> Any:
    return zlib.compressobj(9, zlib.DEFLATED, 31)


def _store(version: int, **changes: Any) -> Files:
    """A plain array whose metadata are changed."""
    made = next(one for one in seeds.zarr(version) if ("zarr.json" if version == 3 else ".zarray") in one.files
                and "0/zarr.json" not in one.files)  # fmt: skip
    name = "zarr.json" if version == 3 else ".zarray"
    return {**made.files, name: json.dumps({**json.loads(made.files[name]), **changes}).encode()}


def _grid(size: int) -> dict[str, Any]:
    return {"name": "regular", "configuration": {"chunk_shape": [size] * 3}}


def _chunk_of_zeros(version: int) -> Files:
    files = _store(version)
    packed = _packed(_gzip if version == 3 else (lambda: zlib.compressobj(9)), b"")
    return {name: packed if Path(name).name[0] not in "z." else content for name, content in files.items()}


def _frame_that_says_nothing() -> bytes:
    """A frame of Zstandard (RFC 8878) in blocks of 128 kB of zeros, four bytes each, without its size."""
    blocks = [(last | 1 << 1 | 1 << 17 << 3).to_bytes(3, "little") + b"\0" for last in [0] * ((LARGE >> 17) - 1) + [1]]
    return b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(blocks)


def _chunks_that_say_nothing(version: int) -> Files:
    """Chunks of Zstandard, in Zarr 3 in a shard."""
    import google_crc32c

    packed = _frame_that_says_nothing()
    if version == 2:
        files = _store(2, compressor={"id": "zstd", "level": 0})
        return {name: packed if Path(name).name[0] not in "z." else content for name, content in files.items()}
    numbers = {"name": "bytes", "configuration": {"endian": "little"}}
    packing = {"name": "zstd", "configuration": {"level": 0, "checksum": False}}
    settings = {
        "chunk_shape": [2, 3, 6],
        "codecs": [numbers, packing],
        "index_codecs": [numbers, {"name": "crc32c"}],
        "index_location": "end",
    }
    files = _store(3, chunk_grid=_grid(6), codecs=[{"name": "sharding_indexed", "configuration": settings}])
    index = (bytes(8) + len(packed).to_bytes(8, "little")) * 6
    index += google_crc32c.value(index).to_bytes(4, "little")
    return {"zarr.json": files["zarr.json"], "c/0/0/0": packed + index}


def _tiff(**options: Any) -> bytes:
    import numpy as np
    import tifffile

    stream = io.BytesIO()
    data = np.zeros((4, 5, 6), np.uint8)
    tifffile.imwrite(stream, data, photometric="minisblack", software="none", **options)
    return stream.getvalue()


def _tiff_page_of_zeros() -> bytes:
    """Three pages as they should be, and a strip of the first one that unpacks to 800 MB."""
    content = _tiff(metadata=None, compression="zlib")
    packed = _packed(lambda: zlib.compressobj(9), b"")
    fields = dict(_directory(content))
    return _set(content, (fields[273], "<I", len(content)), (fields[279], "<I", len(packed))) + packed


def _directory(content: bytes) -> list[tuple[int, int]]:
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    return [(struct.unpack_from("<H", content, first + 2 + 12 * i)[0], first + 10 + 12 * i) for i in range(count)]


def _tiff_of_sides(side: int) -> bytes:
    content = _tiff(metadata=None, compression="zlib")
    fields = dict(_directory(content))
    sides = [(fields[tag], "<I", side) for tag in (256, 257, 278)]
    return _set(content, *sides)


def _archive(size: int) -> bytes:
    """A state dict of which one record is packed and unpacks to so much."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(seeds_of_weights.state_dicts()[0].content)) as old,
        zipfile.ZipFile(stream, "w") as new,
    ):
        for name in old.namelist():
            info = zipfile.ZipInfo(name)
            if not name.endswith("data/0"):
                new.writestr(info, old.read(name))
                continue
            info.compress_type = zipfile.ZIP_DEFLATED
            with new.open(info, "w") as record:
                for _ in range(size >> 22):
                    record.write(bytes(1 << 22))
    return stream.getvalue()


def _expanded() -> bytes:
    """A tensor of one value and strides of 0, which claims a petabyte."""
    import torch

    stream = io.BytesIO()
    state = dict(seeds_of_weights.network().state_dict())
    state["fc3.weight"] = torch.zeros(1).expand(1 << 24, 1 << 24)
    torch.save(state, stream)
    return stream.getvalue()


def _header(entries: dict[str, Any], metadata: dict[str, Any] | None = None) -> bytes:
    texts = {"__metadata__": {key: json.dumps(value) for key, value in (metadata or {}).items()}}
    header = json.dumps({**entries, **texts}).encode()
    return len(header).to_bytes(8, "little") + header


def _weights(**metadata: Any) -> bytes:
    content = seeds_of_weights.safetensors()[1].content
    length = int.from_bytes(content[:8], "little")
    entries = json.loads(content[8 : 8 + length])
    return _header(entries, metadata) + content[8 + length :]


def _layers(value: Any) -> Files:
    return {**seeds_of_weights.layer_lists()[0].files, "a.json": json.dumps(value).encode()}


def _png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")


def _sides(seed: Seed, places: Sequence[tuple[int, str]], side: int) -> bytes:
    return _set(seed.content, *((offset, code, side) for offset, code in places))


EM_SIDES = [(4, "<i"), (8, "<i"), (12, "<i")]
NIFTI_SIDES = [(42, "<h"), (44, "<h"), (46, "<h")]
NIFTI2_SIDES = [(24, ">q"), (32, ">q"), (40, ">q")]


def _em(side: int) -> bytes:
    return _sides(seeds.em()[0], EM_SIDES, side)


def _nifti() -> bytes:
    return _sides(seeds.nifti()[0], NIFTI_SIDES, 32767)


def _nifti2() -> bytes:
    return _sides(seeds.nifti()[1], NIFTI2_SIDES, 1 << 20)


def _ome() -> bytes:
    """An OME-TIFF that promises 10⁹ sections; its text keeps its length."""
    content = _tiff(ome=True, metadata={"axes": "ZYX"})
    text = content[content.index(b"<OME") : content.index(b"</OME>")]
    longer = text.replace(b'SizeZ="4"', b'SizeZ="1000000000"')
    extra = len(longer) - len(text)
    name = re.search(rb'Creator="([^"]*)"', longer)
    if not extra or name is None or len(name[1]) < extra:
        raise ValueError("tifffile writes OME in another way")
    return content.replace(text, longer.replace(name[1], name[1][extra:], 1))


def _exabyte_of_weights() -> bytes:
    return _header({"a": {"dtype": "F32", "shape": [1 << 29, 1 << 29], "data_offsets": [0, 1 << 60]}})


def _length_of_an_exabyte() -> bytes:
    return (1 << 60).to_bytes(8, "little") + b"{}"


# name: which format reads it, what the file is called, its bytes; each has to be refused
BOMBS: dict[str, tuple[str, str, Callable[[], Files]]] = {
    "MRC of an exabyte": ("MRC", "a.mrc", lambda: {"": _mrc(1 << 20)}),
    "MRC with an extended header of 2 GB": ("MRC", "a.mrc", lambda: {"": _set(_mrc(4), (92, "<i", (1 << 31) - 1))}),
    "MRC of an exabyte, gzip": ("MRC, gzip", "a.mrc.gz", lambda: {"": gzip.compress(_mrc(1 << 20))}),
    "MRC of an exabyte, bzip2": ("MRC, bzip2", "a.mrc.bz2", lambda: {"": bz2.compress(_mrc(1 << 20))}),
    "800 MB of zeros behind a small MRC, gzip": ("MRC, gzip", "a.mrc.gz", lambda: {"": _packed(_gzip, _mrc(4))}),
    "800 MB of zeros behind a small MRC, bzip2": (
        "MRC, bzip2",
        "a.mrc.bz2",
        lambda: {"": _packed(bz2.BZ2Compressor, _mrc(4))},
    ),
    "EM of an exabyte": ("EM", "a.em", lambda: {"": _em(1 << 20)}),
    "800 MB of zeros behind a small EM, gzip": ("EM", "a.em", lambda: {"": _packed(_gzip, seeds.em()[0].content)}),
    "NIfTI of terabytes": ("NIfTI", "a.nii", lambda: {"": _nifti()}),
    "NIfTI 2 of exabytes": ("NIfTI", "a.nii", lambda: {"": _nifti2()}),
    "NIfTI of terabytes, gzip": ("NIfTI", "a.nii.gz", lambda: {"": gzip.compress(_nifti())}),
    "800 MB of zeros behind a small NIfTI, gzip": (
        "NIfTI",
        "a.nii.gz",
        lambda: {"": _packed(_gzip, seeds.nifti()[0].content)},
    ),
    "TIFF with pages of an exabyte": ("TIFF", "a.tif", lambda: {"": _tiff_of_sides(1 << 30)}),
    "TIFF with pages of 4 GB": ("TIFF", "a.tif", lambda: {"": _tiff_of_sides(1 << 16)}),
    "TIFF with a strip of 800 MB of zeros": ("TIFF", "a.tif", lambda: {"": _tiff_page_of_zeros()}),
    "OME-TIFF of 10⁹ sections": ("TIFF", "a.tif", lambda: {"": _ome()}),
    **{
        f"{name}, Zarr {version}": (f"OME-Zarr {'0.5' if version == 3 else '0.4'}", "a.zarr", make)
        for version in (2, 3)
        for name, make in (
            ("an array of an exabyte", lambda v=version: _store(v, shape=[1 << 20] * 3)),
            (
                "a chunk of an exabyte",
                lambda v=version: _store(
                    v, shape=[1 << 13] * 3, **({"chunk_grid": _grid(1 << 20)} if v == 3 else {"chunks": [1 << 20] * 3})
                ),
            ),
            (
                "a missing chunk of 512 GB",
                lambda v=version: {
                    name: content
                    for name, content in _store(
                        v,
                        shape=[1 << 13] * 3,
                        **({"chunk_grid": _grid(1 << 13)} if v == 3 else {"chunks": [1 << 13] * 3}),
                    ).items()
                    if Path(name).name[0] in "z."
                },
            ),
            ("chunks of 800 MB of zeros", lambda v=version: _chunk_of_zeros(v)),
            ("chunks of 800 MB that don't say so", lambda v=version: _chunks_that_say_nothing(v)),
        )
    },
    "safetensors with a header of an exabyte": ("safetensors", "a.safetensors", lambda: {"": _length_of_an_exabyte()}),
    "safetensors with a tensor of an exabyte": ("safetensors", "a.safetensors", lambda: {"": _exabyte_of_weights()}),
    "weights whose pictures are 10⁹ pixels wide": (
        "safetensors",
        "a.safetensors",
        lambda: {"": _weights(preprocess={"size": [10**9, 10**9]})},
    ),
    "weights whose network has 10¹² classes": (
        "safetensors",
        "a.safetensors",
        lambda: {"": _weights(arguments={"classes": 10**12})},
    ),
    "a state dict with a record of 800 MB of zeros": ("state dicts", "a.pt", lambda: {"": _archive(LARGE)}),
    "a state dict whose tensor claims a petabyte": ("state dicts", "a.pt", lambda: {"": _expanded()}),
    "a MeshNet of 10⁶ layers": ("lists of layers", "a.pt", lambda: _layers([seeds_of_weights.LAYERS[0]] * 10**6)),
    "a MeshNet with a kernel of a petabyte": (
        "lists of layers",
        "a.pt",
        lambda: _layers([{**seeds_of_weights.LAYERS[0], "kernel": [1 << 16] * 3}]),
    ),
    "PNG of a gigapixel in a megabyte": ("pictures", "a.png", lambda: {"": _png(1 << 15)}),
}


def mutant(name: str) -> tuple[str, Files]:
    """A bomb's name as a file, and its bytes."""
    _, file, make = BOMBS[name]
    return file, make()
