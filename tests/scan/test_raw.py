"""Values that lie in a file one after the other, read where they are sliced: against numpy on the whole."""

import bz2
import gzip
import itertools
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.scan.formats import contents, raw
from camfast.scan.formats.contents import open_contents
from camfast.scan.formats.lazy import box_of
from camfast.scan.formats.raw import RawArray
from camfast.scan.volumes import Volume, statistics

SHAPES = [(7, 7, 7), (1, 1, 1), (1, 1, 131), (1, 131, 1), (131, 1, 1), (2, 3, 40)]
ORDERS = list(itertools.permutations((0, 1, 2)))
TYPES = ["i1", "u1", "<i2", ">i2", "<u2", ">u2", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]


def stored_as(path, values, offset=0):
    path.write_bytes(bytes(offset) + values.tobytes())
    return open_contents(path)


def values_of(shape, dtype="<f4"):
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


def random_keys(shape, count=30):
    """Slices of every kind: whole, inner, empty, negative, open; whole numbers and an ellipsis among them."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        key = []
        for length in shape:
            first, last = sorted(int(n) for n in rng.integers(0, length + 1, 2))
            kinds = [slice(first, last), slice(None), slice(first, None), slice(-length, last), slice(last, first)]
            key.append([*kinds, min(first, length - 1)][rng.integers(0, 6)])
        if rng.integers(0, 2):
            key[1:2] = [Ellipsis]
        yield tuple(key)
    yield from (Ellipsis, (), 0, -1, slice(0, 1), (slice(0, 1), slice(0, 1)), (Ellipsis, slice(0, 1)))


@pytest.fixture(params=[0, 1 << 14], ids=["rows apart", "rows at once"])
def gap(request, monkeypatch):
    monkeypatch.setattr(raw, "LARGEST_GAP", request.param)


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_slices_equal_numpys(tmp_path, shape, order, gap):
    values = values_of(shape)
    array = RawArray(stored_as(tmp_path / "a", values, 13), shape, values.dtype, offset=13, axes=order)
    expected = values.transpose(order)
    assert (array.shape, array.ndim) == (expected.shape, 3)
    for key in random_keys(array.shape):
        found = array[key]
        assert np.shape(found) == expected[key].shape
        np.testing.assert_array_equal(found, expected[key])
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_in_both_byte_orders(tmp_path, dtype, gap):
    values = values_of((3, 5, 7), dtype)
    array = RawArray(stored_as(tmp_path / "a", values), values.shape, dtype)
    assert array.dtype == array[...].dtype == np.dtype(dtype).newbyteorder("=")
    for key in random_keys(array.shape, 10):
        np.testing.assert_array_equal(array[key], values[key])


def packed(values):
    """Two values of 4 bits in a byte, the first in its low half, each row from a byte of its own."""
    rows = np.pad(values, [(0, 0), (0, 0), (0, values.shape[2] % 2)])
    return (rows[..., ::2] | rows[..., 1::2] << 4).astype(np.uint8)


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("width", [1, 2, 7, 10])
def test_values_of_4_bits(tmp_path, width, order, gap):
    values = values_of((3, 5, width), np.uint8) % 16
    contents = stored_as(tmp_path / "a", packed(values), 5)
    array = RawArray(contents, values.shape, np.uint8, offset=5, axes=order, halves=True)
    for key in random_keys(array.shape):
        np.testing.assert_array_equal(array[key], values.transpose(order)[key])
    assert contents.hold(0) == 5 + 15 * -(-width // 2)
    with pytest.raises(InputError, match=r"truncated: .* voxels of 4 bits"):
        RawArray(contents, values.shape, np.uint8, offset=6, halves=True)


def test_scaled_values_are_float64(tmp_path):
    values = values_of((3, 5, 7), ">i2")
    array = RawArray(stored_as(tmp_path / "a", values), values.shape, ">i2", scale=(0.1, -3.0))
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array[1:, 2:4], values[1:, 2:4].astype(np.float64) * 0.1 - 3)


def test_only_what_is_sliced_is_read(tmp_path, monkeypatch):
    values = values_of((6, 50, 40))
    array = RawArray(stored_as(tmp_path / "a", values), values.shape, values.dtype)
    reads, plain = [], os.preadv

    def noted(descriptor, into, offset):
        reads.append((offset // 4, len(into[0]) // 4))
        return plain(descriptor, into, offset)

    monkeypatch.setattr(os, "preadv", noted)
    array[2:5]
    array[1:3, 10:20]
    array[1, 10:12, 7:9]
    monkeypatch.setattr(raw, "LARGEST_GAP", 0)
    array[1, 10:12, 7:9]
    section, run = 2000, 10 * 40
    assert reads[:1] == [(2 * section, 3 * section)]
    assert reads[1:3] == [(section + run, 400), (2 * section + run, 400)]
    assert reads[3:4] == [(section + run + 7, 40 + 2)]  # from the first voxel to the last one
    assert reads[4:] == [(section + run + 7, 2), (section + run + 47, 2)]


@pytest.mark.parametrize(
    ("key", "says"),
    [(slice(0, 3, 2), "a step of 2"), (slice(None, None, -1), "a step of -1"), (3, "out of bounds"),
     (-4, "out of bounds"), ((0, 0, 0, 0), "4 indices"), ((Ellipsis, Ellipsis), "2 indices")],
)  # fmt: skip
def test_indices_that_are_not_taken(key, says):
    with pytest.raises(IndexError, match=says):
        box_of(key, (3, 3, 3))


def test_an_array_of_it_is_a_copy(tmp_path):
    values = values_of((3, 5, 7))
    array = RawArray(stored_as(tmp_path / "a", values), values.shape, values.dtype)
    assert np.asarray(array, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="always a copy"):
        np.asarray(array, copy=False)
    part = array[1]
    part[:] = 0
    np.testing.assert_array_equal(array[1], values[1])
    np.testing.assert_array_equal(array.mapped(), values)


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path, gap):
    values = values_of((4, 5, 7))
    array = RawArray(stored_as(tmp_path / "cut.mrc", values), values.shape, values.dtype)
    with (tmp_path / "cut.mrc").open("r+b") as file:
        file.truncate(3 * 35 * 4 + 8)
    np.testing.assert_array_equal(array[:3], values[:3])
    for key in (..., 3, (slice(None), slice(0, 2)), (slice(None), slice(0, 2), slice(1, 6))):
        with pytest.raises(InputError, match=r"cut.mrc: ends at byte 428, and had 560 when it was opened"):
            array[key]


def test_a_disk_that_fails_is_named(tmp_path, monkeypatch):
    array = RawArray(stored_as(tmp_path / "a.mrc", values_of((1, 1, 1))), (1, 1, 1), "<f4")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(InputError, match=r"a.mrc: cannot be read \(Input/output error\)"):
        array[0]


def test_short_reads_go_on_where_they_ended(tmp_path, monkeypatch):
    values = values_of((3, 5, 7))
    array = RawArray(stored_as(tmp_path / "a", values), values.shape, values.dtype)
    plain = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, into, at: plain(fd, [into[0][:11]], at))
    np.testing.assert_array_equal(array[...], values)


def test_a_deleted_file_is_read_on_and_a_pickled_one_says_that_it_is_gone(tmp_path):
    values = values_of((3, 5, 7))
    array = RawArray(stored_as(tmp_path / "gone.mrc", values), values.shape, values.dtype)
    pickled = pickle.dumps(array)
    np.testing.assert_array_equal(pickle.loads(pickled)[1:], values[1:])
    (tmp_path / "gone.mrc").unlink()
    np.testing.assert_array_equal(array, values)
    with pytest.raises(InputError, match=r"gone.mrc: cannot be read \(No such file"):
        pickle.loads(pickled)


def test_pickled_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = values_of((3, 5, 7))
    array = RawArray(stored_as(Path("a.mrc"), values), values.shape, values.dtype)
    pickled = pickle.dumps(array)
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(pickle.loads(pickled), values)


def test_threads_have_no_position_in_common(tmp_path):
    values = values_of((40, 30, 20))
    array = RawArray(stored_as(tmp_path / "a", values), values.shape, values.dtype)
    keys = list(random_keys(values.shape, 300))
    with ThreadPoolExecutor(8) as pool:
        for key, found in zip(keys, pool.map(array.__getitem__, keys), strict=True):
            np.testing.assert_array_equal(found, values[key])


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("limit", [1 << 28, 100, 0])
def test_packed_files_in_memory_and_on_disk(tmp_path, monkeypatch, pack, limit):
    monkeypatch.setattr(contents, "LARGEST_IN_MEMORY", limit)
    monkeypatch.setattr(contents, "PIECE_BYTES", 64)
    monkeypatch.setattr(contents.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    values = values_of((3, 5, 7))
    (tmp_path / "a").write_bytes(pack(values.tobytes()))
    array = RawArray(open_contents(tmp_path / "a"), values.shape, values.dtype)
    for one in (array, pickle.loads(pickle.dumps(array))):
        for key in random_keys(values.shape, 10):
            np.testing.assert_array_equal(one[key], values[key])
    assert list((tmp_path / "temporary").iterdir()) == []  # it has no name
    (tmp_path / "a").write_bytes(pack(values.tobytes())[:-9])
    with pytest.raises(InputError, match="a: the compressed data is damaged"):
        open_contents(tmp_path / "a").hold(values.nbytes)


def test_no_room_to_unpack_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "LARGEST_IN_MEMORY", 0)
    monkeypatch.setattr(contents.tempfile, "tempdir", str(tmp_path / "none"))
    (tmp_path / "a").write_bytes(gzip.compress(bytes(100)))
    with pytest.raises(InputError, match=r"a: no room to unpack it in .*none .*TMPDIR"):
        open_contents(tmp_path / "a").hold(100)


def test_files_are_closed(tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    (tmp_path / "b").write_bytes(gzip.compress(bytes(700)))
    for _ in range(20):
        array = RawArray(stored_as(tmp_path / "a", values_of((3, 5, 7))), (3, 5, 7), "<f4")
        array[1]
        open_contents(tmp_path / "b").hold(700)
    del array
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_memory_stays_bounded_while_a_large_file_is_read(tmp_path):
    def memory(field):
        (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
        return int(line.split()[1]) << 10

    shape = (16, 2048, 4096)
    with (tmp_path / "a").open("wb") as file:
        file.truncate(int(np.prod(shape)) * 4)  # 512 MB of zeros that take no room on the disk
    array = RawArray(open_contents(tmp_path / "a"), shape, "<f4")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    before = memory("VmRSS")
    assert statistics(Volume(array)) == (0.0, 0.0)
    # 4 M voxels of a box, 16 MB, with what says that they are finite, and 4 MB a piece; a mapped file would be 512 MB
    assert memory("VmHWM") - before < 100 << 20
