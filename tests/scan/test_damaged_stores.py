"""Zarr whose metadata, chunks or shards claim more than there is."""

import warnings

import numpy as np
import pytest
import zarr

from camfast.errors import InputError
from camfast.scan import read_volume
from camfast.scan.formats import zarr_chunks
from tests.scan.packed import PACKED

SHAPE = (4, 5, 6)


@pytest.fixture
def data():
    return np.random.default_rng(0).integers(0, 100, SHAPE).astype(np.float32)


@pytest.fixture(params=[2, 3])
def store(request, tmp_path, data):
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=SHAPE, dtype="f4", chunks=(2, 3, 6), zarr_format=request.param, fill_value=7
    )
    array[...] = data
    return tmp_path / "a.zarr", ("zarr.json" if request.param == 3 else ".zarray")


@pytest.mark.parametrize("chunks", [None, "huge"])
def test_zarr_metadata_of_petabytes_are_refused(store, monkeypatch, chunks):
    path, name = store
    text = (path / name).read_text()
    text = text.replace("    4,\n", f"    {1 << 20},\n", 1).replace("    5,\n", f"    {1 << 20},\n", 1)
    assert str(1 << 20) in text
    if chunks:
        monkeypatch.setattr(zarr_chunks, "LARGEST_VOLUME", 1 << 60)
        text = text.replace("2,\n", f"{1 << 20},\n", 1).replace("3,\n", f"{1 << 20},\n", 1)
    (path / name).write_text(text)
    with pytest.raises(InputError, match=r"a.zarr: (its metadata promise|chunk \(0, 0, 0\) .*promises) [\d,]+ bytes"):
        read_volume(path).data[:1, :1]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda _: "[" * 100_000, "no OME-Zarr image"),
        (lambda text: text.replace("2,\n", "0,\n", 1), "."),
        (lambda text: text.replace("4,\n", "-4,\n", 1), "."),
        (lambda text: text.replace("4,\n", "1e999,\n", 1), "."),
        (lambda text: text.replace("3,\n", '"three",\n', 1), "."),
        (lambda _: "null", "no OME-Zarr image"),
    ],
)
def test_damaged_zarr_metadata(store, damage, says):
    path, name = store
    (path / name).write_text(damage((path / name).read_text()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=f"a.zarr: .*{says}"):
            np.asarray(read_volume(path).data)


@pytest.mark.parametrize(
    "changes",
    [
        {"axes": [{"name": name} for name in "zyxz"]},
        {"axes": None},
        {"coordinateTransformations": [{"type": "scale", "scale": [1, None, 1]}]},
        {"coordinateTransformations": [{"type": "scale", "scale": [1]}]},
        {"coordinateTransformations": 3},
    ],
)
def test_damaged_multiscales(tmp_path, data, changes):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", data=data)
    image = {"axes": [{"name": name} for name in "zyx"], "datasets": [{"path": "0"}], **changes}
    group.attrs["ome"] = {"multiscales": [image]}
    with pytest.raises(InputError, match=r"a.zarr: (no OME-Zarr image|the image has the axes)"):
        read_volume(tmp_path / "a.zarr")


def test_a_translation_that_is_no_number_is_none(tmp_path, data):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("0", data=data)
    steps = [{"type": "scale", "scale": [1e308] * 3}, {"type": "translation", "translation": [1e308] * 3}]
    axes = [{"name": name, "type": "space", "unit": "millimeter"} for name in "zyx"]
    group.attrs["ome"] = {
        "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}]
    }
    volume = read_volume(tmp_path / "a.zarr")
    assert (volume.voxel_angstrom, volume.origin) == (None, (0.0, 0.0, 0.0))


def stored(path, data, compressors, version=3, **options):
    array = zarr.create_array(
        path, shape=data.shape, dtype=data.dtype, zarr_format=version, compressors=compressors,
        **{"chunks": data.shape, **options},
    )  # fmt: skip
    array[...] = data
    return path / ("c/0/0/0" if version == 3 else "0.0.0")


@pytest.mark.parametrize(
    ("version", "name"),
    [(2, "zlib"), (2, "bz2"), (2, "lzma"), (2, "lz4"), (2, "zstd that doesn't say"), (2, "gzip, two members"),
     (3, "gzip"), (3, "zstd"), (3, "zstd that doesn't say"), (3, "blosc")],
)  # fmt: skip
def test_a_chunk_that_unpacks_to_more_than_it_should_is_refused(tmp_path, data, version, name):
    import numcodecs

    packer = name.split(",")[0].split()[0]
    if version == 2:
        compressors = numcodecs.get_codec({"id": packer})
    else:
        compressors = {"gzip": zarr.codecs.GzipCodec, "zstd": zarr.codecs.ZstdCodec, "blosc": zarr.codecs.BloscCodec}[
            packer
        ]()
    chunk = stored(tmp_path / "a.zarr", data, compressors, version)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.zarr").data, data)
    chunk.write_bytes(PACKED[name])
    with pytest.raises(InputError, match=r"a.zarr: chunk \(0, 0, 0\) \(z, y, x\) unpacks to more than its 480 bytes"):
        read_volume(tmp_path / "a.zarr").data[0]


@pytest.mark.parametrize("at", ["start", "end"])
@pytest.mark.parametrize("damage", ["unpacks", "beyond", "cut"])
def test_a_chunk_of_a_shard_that_unpacks_to_more_than_it_should_is_refused(tmp_path, at, damage):
    """The last but one of 2 × 3 × 2 chunks is led to another part, which is put behind the others."""
    import google_crc32c

    data = np.random.default_rng(0).integers(0, 100, (4, 9, 6)).astype(np.float32)
    shards = {"shape": data.shape, "index_location": at}
    shard = stored(tmp_path / "a.zarr", data, zarr.codecs.GzipCodec(), chunks=(2, 3, 3), shards=shards)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.zarr").data, data)
    content, size = shard.read_bytes(), 12 * 16
    index, chunks = (
        (content[:size], content[size + 4 :]) if at == "start" else (content[-size - 4 : -4], content[: -size - 4])
    )
    part = PACKED["gzip"]
    start = len(content) if at == "start" else len(chunks)
    length = len(part) + (10**6 if damage == "beyond" else 0)
    index = index[: 10 * 16] + start.to_bytes(8, "little") + length.to_bytes(8, "little") + index[11 * 16 :]
    index += google_crc32c.value(index).to_bytes(4, "little")
    content = index + chunks + part if at == "start" else chunks + part + index
    shard.write_bytes(content[:50] if damage == "cut" else content)
    volume = read_volume(tmp_path / "a.zarr").data
    if damage != "cut":
        np.testing.assert_array_equal(volume[:2], data[:2])
    says = {
        "unpacks": r"a.zarr: chunk \(1, 2, 0\) \(z, y, x\) unpacks to more than its 72 bytes",
        "beyond": r"chunk \(1, 2, 0\) \(z, y, x\) ends at byte [\d,]+ of a shard of",
        "cut": "a shard of 50 bytes, too few for the index of 12 chunks",
    }
    with pytest.raises(InputError, match=says[damage]):
        volume[3, 8]


def test_a_chunk_that_a_shard_does_not_have_is_missing(tmp_path, data):
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=SHAPE, dtype="f4", chunks=(2, 5, 6), shards=SHAPE, fill_value=7
    )
    array[2:] = data[2:]
    np.testing.assert_array_equal(
        read_volume(tmp_path / "a.zarr").data, np.concatenate([np.full((2, 5, 6), 7), data[2:]])
    )
