"""Files that claim more than they hold or are damaged where a library trusts them: each was found by its campaign."""

import bz2
import gzip
import logging
import struct
import warnings
import zlib

import nibabel
import numpy as np
import pytest
import tifffile

from camfast._foreign import foreign, reason
from camfast.cli import inputs
from camfast.errors import InputError
from camfast.scan import read_volume
from camfast.scan.formats import contents
from camfast.scan.lists import list_tomograms
from reliability.files import seeds
from tests.scan.test_mrc import patch, write

SHAPE = (4, 5, 6)
GIGABYTE = 1 << 30


@pytest.fixture
def data():
    return np.random.default_rng(0).integers(0, 100, SHAPE).astype(np.float32)


def tiff_fields(content):
    """Where the first page's entries hold their values, by tag."""
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    return {struct.unpack_from("<H", content, first + 2 + 12 * i)[0]: first + 10 + 12 * i for i in range(count)}


def test_no_room_is_made_for_an_extended_header_of_mrc(tmp_path, data, monkeypatch):
    path = patch(write(tmp_path / "a.mrc", data), 92, struct.pack("<i", 2**31 - 1))

    def room(size):
        assert size <= 1024
        return bytearray(size)

    monkeypatch.setattr("mrcfile.mrcinterpreter.bytearray", room, raising=False)
    with pytest.raises(InputError, match=r"a.mrc: truncated: the header promises 2,147,"):
        read_volume(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_origin_that_is_no_number_is_none(tmp_path, data, value):
    path = patch(write(tmp_path / "a.mrc", data), 200, struct.pack("<f", value))
    assert read_volume(path).origin == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_packed_file_that_goes_on_and_on_is_refused(tmp_path, data, pack, monkeypatch):
    monkeypatch.setattr(contents, "LARGEST_REST", 1 << 16)
    monkeypatch.setattr(contents, "PIECE_BYTES", 1 << 14)
    (tmp_path / "a.mrc.x").write_bytes(pack(write(tmp_path / "a.mrc", data).read_bytes() + bytes(1 << 20)))
    path = (tmp_path / "a.mrc.x").rename(tmp_path / "a.mrc.gz")
    with pytest.raises(
        InputError, match=r"a.mrc.gz: unpacks to more than 8\d,\d{3} bytes, and its header promises 1,504"
    ):
        read_volume(path)


def test_a_claim_that_gzip_cannot_reach_is_refused_before_it_is_unpacked(tmp_path, data, monkeypatch):
    path = patch(write(tmp_path / "a.mrc", data), 0, struct.pack("<iii", 20_000, 20_000, 20_000))
    path.write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setattr(contents, "_spill", lambda *_: pytest.fail("unpacked"))
    with pytest.raises(InputError, match=r"truncated: the header promises 32,000,000,001,024 bytes, .* hold no more"):
        read_volume(path)


def test_a_temporary_folder_without_room_is_said_before_it_is_filled(tmp_path, data, monkeypatch):
    monkeypatch.setattr(contents, "LARGEST_IN_MEMORY", 0)
    monkeypatch.setattr(contents.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 7}))
    path = write(tmp_path / "a.mrc", data)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match=r"a.mrc: no room to unpack it .*it takes 1,504 bytes and 7 are free"):
        read_volume(path)


def test_a_tiff_whose_pages_go_round_is_refused(tmp_path, data):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, photometric="minisblack", metadata=None, compression="zlib")
    with tifffile.TiffFile(path) as file:
        first, last = file.pages[0].offset, file.pages[3].offset
    content = bytearray(path.read_bytes())
    (count,) = struct.unpack_from("<H", content, last)
    struct.pack_into("<I", content, last + 2 + 12 * count, first)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a.tif: damaged: page 3 is followed by one that came before it"):
        read_volume(path)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_sections_of_a_tiff_do_not_get_lost(tmp_path, data, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, photometric="minisblack", metadata=None, compression=compression)
    with tifffile.TiffFile(path) as file:
        width = file.pages[2].tags["ImageWidth"].offset
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, width, 65000)  # a tag that nobody knows: the page has no width
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a.tif: has 4 pages, of which 3 are of 5 × 6 pixels"):
        read_volume(path)
    struct.pack_into("<I", content, 4, len(content) + 8)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a.tif: "):
        read_volume(path)


def test_tifffile_says_nothing_beside_the_error(tmp_path, data, capfd, caplog):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, photometric="minisblack", metadata=None)
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, tiff_fields(content)[277] - 6, 77)  # a type that is none
    path.write_bytes(content)
    np.testing.assert_array_equal(read_volume(path).data, data)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_a_page_promises_no_more_than_the_file_can_hold(tmp_path, data):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data.astype(np.uint8), photometric="minisblack", metadata=None, compression="zlib")
    content = bytearray(path.read_bytes())
    for tag in (256, 257, 278):
        struct.pack_into("<I", content, tiff_fields(content)[tag], 1 << 30)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a.tif: "):
        read_volume(path).data[0]


def test_a_strip_that_unpacks_to_a_gigabyte_is_refused(tmp_path, data, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data.astype(np.uint8), photometric="minisblack", metadata=None, compression="zlib")
    content, strip = bytearray(path.read_bytes()), zlib.compress(bytes(80 << 20))
    struct.pack_into("<I", content, tiff_fields(content)[273], len(content))
    struct.pack_into("<I", content, tiff_fields(content)[279], len(strip))
    path.write_bytes(bytes(content) + strip)
    with pytest.raises(InputError, match=r"a.tif: page 0 unpacks to more than its 30 bytes"):
        read_volume(path)


def test_metadata_of_imagej_that_are_no_numbers_give_no_voxel_size(tmp_path, data):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, imagej=True, metadata={"spacing": "wide", "unit": "nm", "axes": "ZYX"})
    assert read_volume(path).voxel_angstrom is None


def test_nifti_without_an_edge_or_a_unit_has_no_voxel_size_and_says_nothing(tmp_path, data, caplog):
    image = nibabel.Nifti1Image(data.T, np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii")
    for offset, content in ((84, struct.pack("<f", 0.0)), (123, b"\x07")):
        whole = bytearray((tmp_path / "a.nii").read_bytes())
        whole[offset : offset + len(content)] = content
        (tmp_path / "b.nii").write_bytes(whole)
        volume = read_volume(tmp_path / "b.nii")
        np.testing.assert_array_equal(volume.data, data)
        assert volume.voxel_angstrom is None
    assert not caplog.records


@pytest.mark.parametrize(
    ("offset", "content", "says"),
    [
        (42, struct.pack("<h", -6), "its header gives the shape"),
        (70, struct.pack("<h", 4096), "cannot be read as NIfTI"),
        (108, struct.pack("<f", np.inf), "cannot be read as NIfTI"),
        (116, struct.pack("<f", np.nan), "cannot be read as NIfTI"),
        (348, struct.pack("<4b2i", 1, 0, 0, 0, 2**31 - 16, 4), None),  # an extension of 2 GB
    ],
)
def test_damaged_nifti_headers(tmp_path, data, offset, content, says):
    image = nibabel.Nifti1Image(data.T, np.eye(4))
    image.header.set_slope_inter(2.0, 1.0)
    nibabel.save(image, tmp_path / "a.nii")
    whole = bytearray((tmp_path / "a.nii").read_bytes())
    whole[offset : offset + len(content)] = content
    (tmp_path / "a.nii").write_bytes(whole)
    if says is None:
        assert read_volume(tmp_path / "a.nii").shape == SHAPE
        return
    with pytest.raises(InputError, match=f"a.nii: .*{says}"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("TS_01 2.39 6.0 " + "a" * 300 + ".mrc", "no such file"),
        ("TS_01 2.39 6.0 " + "a" * 5000 + ".mrc", "a…: no such file"),
        ("TS_01 1e300 1e300 tomograms/TS_01.mrc", "voxel size"),
        ("T\udcff_01 2.39 6.0 tomograms/TS_01.mrc", "no STAR file"),
    ],
)
def test_damaged_lists(tmp_path, row, says):
    header = "data_\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesPixelSize\n_rlnTomoTomogramBinning\n"
    text = header + "_rlnTomoReconstructedTomogram\n" + row + "\n"
    (tmp_path / "tomograms").mkdir()
    (tmp_path / "tomograms" / "TS_01.mrc").touch()
    (tmp_path / "a.star").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=f"a.star: .*{says}") as caught:
        list_tomograms(tmp_path / "a.star")
    assert len(str(caught.value)) < 1000


def test_an_empty_list_is_named(tmp_path):
    (tmp_path / "list.txt").write_text("# none yet\n")
    with pytest.raises(InputError, match=r"list.txt: no tomogram is named"):
        list_tomograms(tmp_path / "list.txt")


def test_pictures_of_gigapixels_and_damaged_ones_are_refused_without_a_warning(tmp_path):
    content = bytearray(next(seed.content for seed in seeds.pictures() if seed.name == "a.png"))
    struct.pack_into(">2I", content, 16, 1 << 16, 1 << 16)
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(
        InputError, match=r"a.png: cannot be read as an image \(Image size .*\); give PNG, JPEG or TIFF"
    ):
        inputs.read_image(tmp_path / "a.png")
    content = next(seed.content for seed in seeds.pictures() if seed.name == "a.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for size in range(0, len(content), 7):
            (tmp_path / "a.tif").write_bytes(content[:size])
            with pytest.raises(InputError, match=r"a.tif: cannot be read as an image"):
                inputs.read_image(tmp_path / "a.tif")


def test_what_a_library_says_is_kept_back_in_the_block_alone(caplog):
    logger = logging.getLogger("a library")
    with pytest.raises(InputError, match=r"^a\.x: damaged \(KeyError: 7\); mend it$"):  # noqa: SIM117, PT012
        with foreign("a.x: damaged", "mend it", "a library") as said:
            logger.warning("a tag is odd")
            warnings.warn("odd", stacklevel=1)
            raise KeyError(7)
    assert said == ["a tag is odd"]
    assert not caplog.records
    logger.warning("heard")
    assert [record.getMessage() for record in caplog.records] == ["heard"]
    with pytest.raises(InputError, match=r"^as it is$"), foreign("", ""):
        raise InputError("as it is")


def test_reasons_are_a_line_of_some_length():
    assert reason(ValueError("two\nlines \x1b[2J")) == "two lines \\x1b[2J"
    assert reason(AssertionError()) == "AssertionError"
    assert len(reason(ValueError("a" * 5000))) == 201
