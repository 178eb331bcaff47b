"""TIFF stacks as ImageJ and others write them; compressed ones in test_chunked."""

import numpy as np
import pytest
import tifffile

from camfast.errors import InputError
from camfast.scan import read_volume
from camfast.scan.formats.chunked import ChunkedArray
from camfast.scan.formats.raw import RawArray
from tests.scan.test_raw import random_keys

SHAPE = (3, 5, 7)


@pytest.fixture
def data():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, RawArray),
        ({"byteorder": ">"}, RawArray),
        ({"bigtiff": True}, RawArray),
        ({"metadata": None}, RawArray),
        ({"metadata": None, "rowsperstrip": 2}, RawArray),
        ({"tile": (16, 16)}, ChunkedArray),
        ({"compression": "zlib"}, ChunkedArray),
        ({"ome": True, "metadata": {"axes": "ZYX"}}, RawArray),
    ],
    ids=str,
)
def test_stacks_plain_and_packed(tmp_path, data, options, kind, dtype):
    values = (data * 10 + 50).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", **options)
    volume = read_volume(tmp_path / "a.tif")
    assert isinstance(volume.data, kind)
    assert volume.data.dtype == dtype
    for key in random_keys(SHAPE, 10):
        np.testing.assert_array_equal(volume.data[key], values[key])
    assert volume.voxel_angstrom is None


def test_a_predictor(tmp_path, data):
    values = (data * 10).astype(np.int16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", compression="zlib", predictor=True)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.tif").data, values)


def test_imagej_gives_the_voxel_size(tmp_path, data):
    imagej = {"spacing": 3.0, "unit": "nm", "axes": "ZYX"}
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, resolution=(0.5, 0.25), metadata=imagej)
    volume = read_volume(tmp_path / "a.tif")
    assert volume.voxel_angstrom == pytest.approx((30.0, 40.0, 20.0))
    np.testing.assert_array_equal(volume.data, data)


@pytest.mark.parametrize("shape", [(7, 7, 7), (2, 1, 9), (2, 9, 1), (2, 1, 1)])
def test_thin_stacks(tmp_path, shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.tif").data, values)


def test_what_is_no_grey_stack_is_refused(tmp_path, data):
    tifffile.imwrite(tmp_path / "flat.tif", data[0])
    with pytest.raises(InputError, match=r"flat.tif: found 2 axes \(5, 7\)"):
        read_volume(tmp_path / "flat.tif")
    tifffile.imwrite(tmp_path / "colour.tif", np.zeros((5, 7, 3), np.uint8), photometric="rgb")
    with pytest.raises(InputError, match=r"colour.tif: an image of 3 colours, expected a volume"):
        read_volume(tmp_path / "colour.tif")
    tifffile.imwrite(tmp_path / "time.tif", np.zeros((2, 3, 5, 7), np.uint8), photometric="minisblack")
    with pytest.raises(InputError, match=r"time.tif: found 4 axes"):
        read_volume(tmp_path / "time.tif")
    (tmp_path / "text.tif").write_text("no picture")
    with pytest.raises(InputError, match=r"text.tif: cannot be read as TIFF"):
        read_volume(tmp_path / "text.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_truncated(tmp_path, data, compression):
    path = tmp_path / "a.tif"
    options = {"metadata": None, "compression": compression}
    tifffile.imwrite(path, data.repeat(9, 1), photometric="minisblack", **options)
    whole = path.read_bytes()
    path.write_bytes(whole[:-700])
    with pytest.raises(InputError, match=r"a.tif: "):
        read_volume(path).data[...]


def test_a_damaged_page_is_named(tmp_path, data):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data.repeat(9, 1), photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as file:
        place = file.pages[1].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[place : place + 8] = b"no pixel"
    path.write_bytes(content)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.data[2], data.repeat(9, 1)[2])
    with pytest.raises(InputError, match=r"a.tif: page 1 cannot be read"):
        volume.data[0:2]
