"""Volumes in chunks: against numpy on the whole, and how often a chunk is unpacked."""

import itertools
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
import zarr

from camfast.errors import InputError
from camfast.scan import Volume, read_volume
from camfast.scan.formats.chunked import ChunkedArray
from camfast.scan.volumes import statistics, walk
from tests.scan.test_raw import random_keys

SHAPE, CHUNKS = (9, 11, 13), (4, 3, 13)


class Chunks:
    """Cuts chunks out of an array and remembers which."""

    def __init__(self, values, chunks, wait=0.0):
        self.values, self.chunks, self.wait, self.loaded = values, chunks, wait, []

    def __call__(self, index):
        self.loaded.append(index)
        time.sleep(self.wait)
        return self.values[tuple(slice(i * c, (i + 1) * c) for i, c in zip(index, self.chunks, strict=True))].copy()


def chunked(shape=SHAPE, chunks=CHUNKS, **options):
    wait = options.pop("wait", 0.0)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    load = Chunks(values, chunks, wait)
    return values, load, ChunkedArray(load, shape, chunks, values.dtype, **options)


@pytest.mark.parametrize("budget", [0, 2000, 1 << 28])
@pytest.mark.parametrize(
    ("shape", "chunks"),
    [(SHAPE, CHUNKS), ((7, 7, 7), (7, 7, 7)), ((7, 7, 7), (99, 99, 99)), ((1, 1, 131), (1, 1, 10)),
     ((7, 7, 7), (1, 1, 1)), ((7, 7, 7), (2, 3, 4))],
)  # fmt: skip
def test_slices_equal_numpys(shape, chunks, budget):
    values, _, array = chunked(shape, chunks, budget=budget)
    for key in random_keys(shape):
        np.testing.assert_array_equal(array[key], values[key])
    np.testing.assert_array_equal(array, values)


def test_overlapping_boxes_unpack_each_chunk_once():
    values, load, array = chunked()
    for z, y in itertools.product(range(6), range(8)):
        np.testing.assert_array_equal(array[z : z + 3, y : y + 3], values[z : z + 3, y : y + 3])
    assert sorted(load.loaded) == list(itertools.product(range(2), range(4), range(1)))


def test_those_used_last_are_kept_up_to_the_budget():
    size = 4 * 3 * 13 * 4
    _, load, array = chunked(budget=2 * size)
    for row in (0, 3, 0, 6, 0, 3):  # 3 is the oldest when 6 comes
        array[0, row]
    assert [index[1] for index in load.loaded] == [0, 1, 2, 1]
    _, load, array = chunked(budget=1)
    for row in (0, 1, 3, 0):
        array[0, row]
    assert [index[1] for index in load.loaded] == [0, 1, 0]


def test_what_is_kept_is_not_what_is_given():
    values, _, array = chunked()
    array[...][:] = 0
    np.testing.assert_array_equal(array, values)


def test_a_chunk_that_one_thread_unpacks_is_waited_for():
    values, load, array = chunked(wait=0.01)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: array[...], range(16)):
            np.testing.assert_array_equal(found, values)
    assert len(load.loaded) == 12


def test_threads_that_drop_each_others_chunks_read_right_values():
    values, _, array = chunked((20, 20, 20), (3, 3, 3), budget=1000)
    keys = list(random_keys(values.shape, 100))
    with ThreadPoolExecutor(8) as pool:
        for key, found in zip(keys, pool.map(array.__getitem__, keys), strict=True):
            np.testing.assert_array_equal(found, values[key])
    assert 0 < sum(one.result().nbytes for one in array._kept.values()) == array._bytes <= 1000


def test_an_error_reaches_all_who_wait_and_the_chunk_is_tried_again():
    values, load, array = chunked()
    first, calls = threading.Event(), []

    def fail(index):
        calls.append(index)
        first.wait(5)
        raise InputError("the disk is gone")

    array._load = fail
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(array.__getitem__, (0, 0)) for _ in range(2)]
        time.sleep(0.05)
        first.set()
        for one in both:
            with pytest.raises(InputError, match="the disk is gone"):
                one.result()
    assert len(calls) == 1
    array._load = load
    np.testing.assert_array_equal(array[0, 0], values[0, 0])


def test_statistics_unpack_each_chunk_once_though_few_are_kept():
    values, load, array = chunked((40, 41, 42), (16, 16, 16), budget=1)
    mean, std = statistics(Volume(array))
    assert len(load.loaded) == len(set(load.loaded)) == 27
    assert (mean, std) == pytest.approx((values.mean(dtype=np.float64), values.std(dtype=np.float64)), rel=1e-12)
    _, load, array = chunked((40, 41, 42), (16, 16, 16), budget=1)
    for box in walk(array, voxels=1):
        array[box]
    assert len(load.loaded) == len(set(load.loaded)) == 27


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("order", ["zyx", "xyz", "tczyx", "zcyx", "yxzt"])
@pytest.mark.parametrize("dtype", ["<f4", ">i2", "u1"])
def test_zarr_in_any_order_of_axes_is_read_chunk_by_chunk(tmp_path, order, version, dtype):
    values = np.random.default_rng(0).integers(0, 100, (5, 7, 9)).astype(dtype)
    spatial = [name for name in order if name in "zyx"]
    stored = values.transpose(["zyx".index(name) for name in spatial])
    stored = stored.reshape([values.shape["zyx".index(name)] if name in "zyx" else 1 for name in order])
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    sizes = {"z": 2, "y": 3, "x": 4}
    array = group.create_array("0", shape=stored.shape, dtype=dtype, chunks=[sizes.get(name, 1) for name in order])
    array[...] = stored
    image = {"axes": [{"name": name} for name in order], "datasets": [{"path": "0"}]}
    group.attrs.update({"multiscales": [image]} if version == 2 else {"ome": {"multiscales": [image]}})
    found = read_volume(tmp_path / "a.zarr").data
    assert (found.shape, found.chunks, found.dtype) == ((5, 7, 9), (2, 3, 4), np.dtype(dtype).newbyteorder("="))
    for key in random_keys(values.shape, 10):
        np.testing.assert_array_equal(found[key], values[key])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)), values)
    assert found[1:3].dtype == found.dtype


def test_shards_are_read_by_their_inner_chunks(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=values.shape, dtype="f4", chunks=(5, 5, 5), shards=(10, 10, 10)
    )
    array[...] = values
    found = read_volume(tmp_path / "a.zarr").data
    assert found.chunks == (5, 5, 5)
    np.testing.assert_array_equal(found[3:12, 4:19, 1:2], values[3:12, 4:19, 1:2])


def test_a_damaged_chunk_is_named(tmp_path):
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4, 4, 8), dtype="f4", chunks=(4, 4, 4))
    array[...] = np.random.default_rng(0).normal(size=(4, 4, 8))
    (tmp_path / "a.zarr" / "c" / "0" / "0" / "1").write_bytes(b"no chunk")
    volume = read_volume(tmp_path / "a.zarr")
    volume.data[..., :4]
    with pytest.raises(InputError, match=r"a.zarr: chunk \(0, 0, 1\) \(z, y, x\) is damaged"):
        volume.data[..., 3:5]


def test_pages_of_a_compressed_tiff_are_unpacked_one_at_a_time(tmp_path):
    values = np.random.default_rng(0).integers(0, 100, (5, 7, 9)).astype(np.int16)
    for name, options in (("a.tif", {}), ("b.tif", {"metadata": None}), ("c.tif", {"byteorder": ">"})):
        tifffile.imwrite(tmp_path / name, values, compression="zlib", photometric="minisblack", **options)
        found = read_volume(tmp_path / name).data
        assert (found.chunks, found.dtype) == ((1, 7, 9), np.int16)
        for key in random_keys(values.shape, 10):
            np.testing.assert_array_equal(found[key], values[key])
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)), values)
