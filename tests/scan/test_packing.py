"""What packed parts unpack to, found without keeping it, and how the metadata of a Zarr array say that it is packed."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.scan.formats import packing
from camfast.scan.formats.codecs import ShardIndex, packing_of
from tests.scan.packed import LARGE, PACKED, zstandard


@pytest.mark.parametrize("name", PACKED)
def test_what_unpacks_to_far_more_is_found(name):
    packer, content = name.split(",")[0].split()[0], PACKED[name]
    if "many" in name:
        content += bytes(packing.ALWAYS // packing.DEFLATE_RATIO)
    assert packing.unpacks_beyond(packer, content, LARGE // 2)
    if "empty" not in name and "many" not in name:
        assert not packing.unpacks_beyond(packer, content, 2 * LARGE)
        if packer in ("zlib", "gzip", "bz2", "lzma"):  # damage is for who unpacks it to find
            assert not packing.unpacks_beyond(packer, b"damaged" + content, LARGE // 2)
    assert not packing.unpacks_beyond(packer, b"bad", 0)


def test_what_nothing_is_known_of_is_let_through():
    assert not packing.unpacks_beyond("crc32c", bytes(100), 1)
    assert not packing.unpacks_beyond("", b"", 0)


@pytest.mark.parametrize("size", [100, 300, 70_000, 3_000_000])
def test_frames_of_zstandard_hold_what_they_say(size):
    import numcodecs

    packed = numcodecs.Zstd(checksum=True).encode(np.random.default_rng(0).integers(0, 5, size, np.uint8))
    skipped = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    assert packing._frames(bytes(packed), 1 << 40) == size
    assert packing._frames(bytes(packed) * 3, 1 << 40) == 3 * size
    assert packing._frames(skipped + bytes(packed), 1 << 40) - size < 1 << 11
    assert len(numcodecs.Zstd().decode(zstandard(1, 1 << 17))) == 1 << 17  # the tests' own frames are frames


def _codecs(*names):
    """Codecs of chunks by their names, "shards" of what comes behind."""
    made = []
    for name in reversed(names):
        if name == "shards":
            made = [{"name": "sharding_indexed", "configuration": {
                "chunk_shape": [4, 5, 6], "codecs": made, "index_location": "end", "index_codecs": [{"name": "bytes",
                "configuration": {"endian": "little"}}, {"name": "crc32c"}]}}]  # fmt: skip
        else:
            made.insert(0, {"name": name, "configuration": {}})
    return made


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"zarr_format": 3, "codecs": _codecs("bytes", "gzip", "zstd")}, "packed twice, by 'gzip' and 'zstd'"),
        ({"zarr_format": 3, "codecs": _codecs("bytes", "gzip", "numcodecs.crc32")}, "by 'gzip' and then .* 'crc32'"),
        ({"zarr_format": 3, "codecs": _codecs("shards", "shards", "bytes")}, "shards are within shards"),
        ({"zarr_format": 3, "codecs": [*_codecs("shards", "bytes"), *_codecs("gzip")]}, "shards are .* packed"),
        ({"zarr_format": 2, "filters": [{"id": "zlib"}], "compressor": {"id": "bz2"}}, "twice, by 'zlib' and 'bz2'"),
        ({"zarr_format": 2, "filters": None, "compressor": {"id": "lzma", "format": 3}}, "LZMA without a header"),
    ],
)
def test_what_can_not_be_seen_through_is_refused(metadata, says):
    array = SimpleNamespace(metadata=SimpleNamespace(to_dict=lambda: metadata))
    with pytest.raises(InputError, match=f"a.zarr: .*{says}.*; export the store again"):
        packing_of(array, Path("a.zarr"))


def test_the_index_of_a_shard_that_is_packed_is_refused():
    (shards,) = _codecs("shards", "bytes")
    shards["configuration"]["index_codecs"] = _codecs("bytes", "gzip")
    array = SimpleNamespace(metadata=SimpleNamespace(to_dict=lambda: {"zarr_format": 3, "codecs": [shards]}))
    with pytest.raises(InputError, match=r"the index of its shards is packed by \['bytes', 'gzip'\]"):
        packing_of(array, Path("a.zarr"))


@pytest.mark.parametrize("names", [("bytes",), ("bytes", "gzip", "crc32c"), ("shards", "transpose", "bytes", "blosc")])
def test_what_packs_is_found(names):
    array = SimpleNamespace(metadata=SimpleNamespace(to_dict=lambda: {"zarr_format": 3, "codecs": _codecs(*names)}))
    found = packing_of(array, Path("a.zarr"))
    assert found.packer == ("", "gzip", "blosc")[("gzip" in names) + 2 * ("blosc" in names)]
    assert found.index == (ShardIndex(False, True, "little") if "shards" in names else None)
