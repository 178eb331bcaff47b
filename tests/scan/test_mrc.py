"""MRC files as they are met: every mode, any axis order, damaged, compressed, and our own."""

import bz2
import gzip
import itertools
import struct
import warnings

import mrcfile
import numpy as np
import pytest

from camfast.errors import InputError
from camfast.scan import Volume, read_volume, write_volumes
from camfast.scan.formats.mrc import IMOD_STAMP, read_sections

SHAPE = (3, 5, 7)


@pytest.fixture
def data():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def write(path, data, **fields):
    with mrcfile.new(path) as file:
        file.set_data(data)
        file.set_volume()
        for name, value in fields.items():
            if name in ("voxel_size", "nstart"):
                setattr(file, name, value)
            else:
                file.header[name] = value
    return path


def patch(path, offset, content):
    """Overwrite bytes of the header."""
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(content)] = content
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float32, np.float16])
def test_modes_0_1_6_2_12(tmp_path, dtype, data):
    values = (data * 10).astype(np.int8).astype(dtype)
    volume = read_volume(write(tmp_path / "a.mrc", values, voxel_size=5.5))
    assert volume.data.dtype == dtype
    np.testing.assert_array_equal(volume.data, values)
    assert volume.voxel_angstrom == (5.5, 5.5, 5.5)


@pytest.mark.parametrize(("flags", "dtype"), [(0, np.uint8), (1, np.int8)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_bytes_are_unsigned_where_imod_says_so(tmp_path, data, flags, dtype, order):
    values = np.arange(105, dtype=np.uint8).reshape(SHAPE) + 100
    path = tmp_path / "a.mrc"
    with mrcfile.new(path) as file:
        file.set_data(values.view(np.int8))
    if order == ">":
        raw = np.frombuffer(path.read_bytes()[:1024], "<i4").astype(">i4").tobytes()
        header = bytearray(raw)
        header[208:216] = b"MAP \x11\x11\x00\x00"
        path.write_bytes(bytes(header) + path.read_bytes()[1024:])
    patch(path, 152, struct.pack(order + "ii", IMOD_STAMP, flags))
    volume = read_volume(path)
    assert volume.data.dtype == dtype
    np.testing.assert_array_equal(volume.data, values.view(dtype))


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3))))
def test_axes_come_out_as_zyx_in_any_order_of_the_file(tmp_path, order):
    zyx = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    lengths, start = {1: 7, 2: 5, 3: 3}, {1: -11, 2: -12, 3: -13}
    stored = zyx.transpose([3 - axis for axis in order[::-1]])  # sections, rows, columns
    path = tmp_path / "a.mrc"
    with mrcfile.new(path) as file:
        file.set_data(np.ascontiguousarray(stored))
        file.set_volume()
        file.header.mapc, file.header.mapr, file.header.maps = order
        file.header.mx, file.header.my, file.header.mz = (lengths[axis] for axis in (1, 2, 3))
        file.header.cella = (7 * 2.0, 5 * 3.0, 3 * 4.0)
        file.header.nxstart, file.header.nystart, file.header.nzstart = (start[axis] for axis in order)
        file.header.origin = (1.0, 2.0, 3.0)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, zyx)
    assert volume.voxel_angstrom == (4.0, 3.0, 2.0)
    assert volume.start == (-13, -12, -11)
    assert volume.origin == (3.0, 2.0, 1.0)


def test_old_files_without_axis_fields_count_as_xyz(tmp_path, data):
    path = patch(write(tmp_path / "a.mrc", data), 64, bytes(12))
    np.testing.assert_array_equal(read_volume(path).data, data)


@pytest.mark.parametrize(
    ("size", "expected"), [(0.0, None), (1.0, None), (10.52, (10.52,) * 3), ((2, 1, 1), (1, 1, 2))]
)
def test_placeholders_are_no_voxel_size(tmp_path, data, size, expected):
    assert read_volume(write(tmp_path / "a.mrc", data, voxel_size=size)).voxel_angstrom == expected


@pytest.mark.parametrize(
    ("offset", "content"),
    [
        (208, bytes(8)),  # no MAP, no machine stamp
        (208, b"MRC "),
        (212, b"\x11\x11\0\0"),  # the stamp of the other byte order
        (212, b"\x44\x41\0\0"),
        (212, b"\xff\xff\xff\xff"),
        (220, struct.pack("<i", -3)),  # number of labels
        (220, struct.pack("<i", 11)),
        (224, bytes(range(128, 208))),  # a label that is no text
        (76, struct.pack("<3f", -1.0, -2.0, np.nan)),  # dmin, dmax, dmean; rms follows the labels' number
        (76, struct.pack("<3f", np.inf, -np.inf, 1e30)),
        (216, struct.pack("<f", -1.0)),
        (88, struct.pack("<i", 0)),  # space group of a stack of images
        (88, struct.pack("<i", -5)),
        (88, struct.pack("<i", 230)),
        (88, struct.pack("<i", 401)),  # a stack of one volume: mz is the number of sections
        (108, struct.pack("<i", 20139)),  # format version, here of 2013
        (104, b"ABCD"),  # kind of the extended header
        (52, struct.pack("<3f", 0.0, 0.0, 0.0)),  # angles of the cell
        (16, struct.pack("<3i", -(2**31), 2**31 - 1, 5)),  # starts
    ],
)
def test_what_only_a_validator_minds_is_read_without_a_word(tmp_path, data, offset, content):
    path = patch(write(tmp_path / "a.mrc", data, voxel_size=4.0), offset, content)
    path.write_bytes(path.read_bytes() + b"more")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, data)
    assert volume.voxel_angstrom == (4.0, 4.0, 4.0)


@pytest.mark.parametrize(("counts", "expected"), [((0, 0, 0), None), ((-7, 5, 3), None), ((7, 5, 1), (12.0, 4.0, 4.0))])
def test_odd_numbers_of_intervals_make_the_voxel_size_odd_or_unknown(tmp_path, data, counts, expected):
    path = patch(write(tmp_path / "a.mrc", data, voxel_size=4.0), 28, struct.pack("<3i", *counts))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, data)
    assert volume.voxel_angstrom == expected


def big_endian(path, item):
    """Turn a little-endian file without an extended header around: header and values of so many bytes."""
    raw = path.read_bytes()
    words = np.frombuffer(raw[:208] + raw[216:224], "<u4").astype(">u4").tobytes()
    values = np.frombuffer(raw[1024:], f"V{item}").view("u1").reshape(-1, item)[:, ::-1].tobytes()
    path.write_bytes(words[:208] + b"MAP \x11\x11\0\0" + words[208:] + raw[224:1024] + values)
    return path


@pytest.mark.parametrize("stamp", [b"\x11\x11\0\0", b"\x44\x44\0\0", bytes(4)], ids=["right", "wrong", "none"])
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float32, np.float16])
def test_big_endian_files_whatever_their_stamp(tmp_path, data, dtype, stamp):
    values = (data * 10).astype(np.int8).astype(dtype)
    path = write(tmp_path / "a.mrc", values, voxel_size=5.5)
    patch(big_endian(path, values.dtype.itemsize), 212, stamp)
    volume = read_volume(path)
    assert volume.data.dtype == dtype
    np.testing.assert_array_equal(volume.data, values)
    assert volume.voxel_angstrom == (5.5, 5.5, 5.5)


@pytest.mark.parametrize("width", [6, 7])
@pytest.mark.parametrize("order", ["<", ">"])
def test_imods_values_of_4_bits(tmp_path, width, order):
    values = np.random.default_rng(0).integers(0, 16, (3, 5, width)).astype(np.uint8)
    rows = np.pad(values, [(0, 0), (0, 0), (0, width % 2)])
    path = write(tmp_path / "a.mrc", values.astype(np.int8), voxel_size=3.0)
    path.write_bytes(path.read_bytes()[:1024])
    if order == ">":
        big_endian(path, 1)
    patch(path, 12, struct.pack(order + "i", 101))
    path.write_bytes(path.read_bytes() + (rows[..., ::2] + 16 * rows[..., 1::2]).tobytes())
    volume = read_volume(path)
    assert volume.data.dtype == np.uint8
    np.testing.assert_array_equal(volume.data, values)
    np.testing.assert_array_equal(volume.data[1:, 2:4, 3:6], values[1:, 2:4, 3:6])
    assert volume.voxel_angstrom == (3.0, 3.0, 3.0)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"a.mrc: truncated"):
        read_volume(path)


@pytest.mark.parametrize(
    ("largest", "smallest", "dtype"),
    [(255.0, 0.0, np.uint8), (128.0, 1.0, np.uint8), (127.0, 0.0, np.int8), (255.0, -1.0, np.int8),
     (1000.0, 0.0, np.int8), (np.nan, 0.0, np.int8)],
)  # fmt: skip
def test_bytes_are_unsigned_where_the_largest_value_says_so(tmp_path, data, largest, smallest, dtype):
    values = (np.arange(105, dtype=np.uint8).reshape(SHAPE) + 100).view(np.int8)
    path = patch(write(tmp_path / "a.mrc", values), 76, struct.pack("<2f", smallest, largest))
    volume = read_volume(path)
    assert volume.data.dtype == dtype
    np.testing.assert_array_equal(volume.data, values.view(dtype))


def test_an_extended_header_is_skipped(tmp_path, data):
    path = tmp_path / "a.mrc"
    with mrcfile.new(path) as file:
        file.set_data(data)
        file.set_extended_header(np.frombuffer(b"x" * 160, "V1"))
    np.testing.assert_array_equal(read_volume(path).data, data)


def test_a_plain_file_is_read_when_it_is_sliced(tmp_path, data):
    path = write(tmp_path / "a.mrc", data)
    volume = read_volume(path)
    patch(path, 1024, struct.pack("<f", 77.0))
    assert volume.data[0, 0, 0] == 77
    np.testing.assert_array_equal(volume.data[1:], data[1:])


@pytest.mark.parametrize("ending", [".mrc", ".MRC", ".rec", ".map", ".st"])
def test_endings(tmp_path, data, ending):
    np.testing.assert_array_equal(read_volume(str(write(tmp_path / f"a{ending}", data))).data, data)


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed(tmp_path, data, ending, pack):
    plain = write(tmp_path / "a.mrc", data, voxel_size=3.0)
    path = tmp_path / f"a.mrc{ending}"
    path.write_bytes(pack(plain.read_bytes()))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data, data)
    assert volume.voxel_angstrom == (3.0, 3.0, 3.0)
    path.write_bytes(pack(plain.read_bytes())[:-30])
    with pytest.raises(InputError, match=f"a.mrc{ending}: the compressed data is damaged"):
        read_volume(path)
    path.write_bytes(pack(plain.read_bytes()[:-30]))
    with pytest.raises(InputError, match=f"a.mrc{ending}: truncated"):
        read_volume(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_claims_a_huge_volume_allocates_nothing(tmp_path, data, pack):
    path = patch(write(tmp_path / "a.mrc", data), 0, struct.pack("<iii", 2_000_000, 2_000_000, 2_000_000))
    path.write_bytes(pack(path.read_bytes()))
    with pytest.raises(InputError, match=r"truncated: the header promises 32,000,000,000,000,001,024 bytes"):
        read_volume(path)


@pytest.mark.parametrize(
    ("offset", "content", "says"),
    [
        (0, struct.pack("<i", 0), r"the header gives the size \(3, 5, 0\)"),
        (4, struct.pack("<i", -5), r"the header gives the size"),
        (12, struct.pack("<i", 16), r"its mode is 16, known are 0, 1, 2, 6, 12 and 101"),
        (12, struct.pack("<i", 3), r"holds complex values \(mode 3\)"),
        (12, struct.pack("<i", 4), r"holds complex values \(mode 4\)"),
        (64, struct.pack("<i", 2), r"MAPC, MAPR, MAPS are 2, 2, 3"),
        (92, struct.pack("<i", -1), r"not an MRC file"),
        (0, b"This is a text, and a long one. " * 32, r"not an MRC file"),
        (0, bytes(1024), r"not an MRC file"),
    ],
)
def test_what_is_no_mrc_volume_is_refused(tmp_path, data, offset, content, says):
    path = patch(write(tmp_path / "odd.mrc", data), offset, content)
    with pytest.raises(InputError, match=f"odd.mrc: .*{says}"):
        read_volume(path)


@pytest.mark.parametrize("size", [0, 100, 1023])
def test_less_than_a_header(tmp_path, size):
    path = tmp_path / "a.mrc"
    path.write_bytes(bytes(size))
    with pytest.raises(InputError, match=f"a.mrc: {size} bytes, and an MRC header alone has 1024"):
        read_volume(path)


def test_one_image_and_stacks_of_volumes_are_refused(tmp_path):
    with mrcfile.new(tmp_path / "image.mrc") as file:
        file.set_data(np.zeros((5, 7), np.float32))
    with pytest.raises(InputError, match="one image of 5 × 7 pixels"):
        read_volume(tmp_path / "image.mrc")
    with mrcfile.new(tmp_path / "stack.mrc") as file:
        file.set_data(np.zeros((2, 3, 5, 7), np.float32))
    with pytest.raises(InputError, match="a stack of 2 volumes"):
        read_volume(tmp_path / "stack.mrc")


@pytest.mark.parametrize("shape", [(6, 5), (1, 6, 5), (3, 6, 5)])
def test_images_are_read_as_they_lie(tmp_path, shape):
    data = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    mrcfile.write(tmp_path / "images.mrc", data)
    with mrcfile.open(tmp_path / "images.mrc", "r+") as file:
        file.header.mapc, file.header.maps = 3, 1  # which turns volumes, not images
    np.testing.assert_array_equal(np.asarray(read_sections(tmp_path / "images.mrc")), data.reshape(-1, 6, 5))
    content = (tmp_path / "images.mrc").read_bytes()
    (tmp_path / "images.mrc").write_bytes(content[:-1])
    with pytest.raises(InputError, match="truncated"):
        read_sections(tmp_path / "images.mrc")


def test_written_files_are_valid_keep_their_place_and_hold_no_time(tmp_path, data, capsys):
    like = Volume(data, (4.0, 3.0, 2.0), (30.0, 20.0, 10.0), (3, -2, 1))
    for name in ("a.mrc", "b.mrc"):
        write_volumes(tmp_path / name, [data], like, attributes={"method": "respond", "π": "ångström"})
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()
    assert mrcfile.validate(tmp_path / "a.mrc")
    assert capsys.readouterr().out.count("\n") == 2  # which file, and that it is valid: no complaint
    read = read_volume(tmp_path / "a.mrc")
    np.testing.assert_array_equal(read.data, data)
    assert (read.voxel_angstrom, read.origin, read.start) == (like.voxel_angstrom, like.origin, like.start)
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert file.voxel_size.item() == (2.0, 3.0, 4.0)
        assert bytes(file.header.label[1]).startswith(b"method: respond")
        assert int(file.header.nlabl) == 3


def test_an_unknown_voxel_size_is_written_as_0(tmp_path, data):
    write_volumes(tmp_path / "a.mrc", [data], Volume(data))
    assert mrcfile.validate(tmp_path / "a.mrc")
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert file.voxel_size.item() == (0.0, 0.0, 0.0)
