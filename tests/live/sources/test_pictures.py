"""Files of frames whose readers can't read them, or need a package that isn't there."""

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from camfast.live.frames import BrokenFrameError, checked
from camfast.live.sources.pictures import UnfinishedError, read_picture

PIXELS = np.random.default_rng(0).integers(0, 65536, (9, 7)).astype(np.uint16)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A TIFF file as cameras write it to save room."""
    Image.fromarray(PIXELS).save(tmp_path / "a.tif", compression="tiff_lzw")
    return tmp_path / "a.tif"


def failing(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asarray(*_: object, **__: object) -> None:
        raise ValueError(words)

    monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)


def test_lzw_is_unpacked_where_imagecodecs_is_missing(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package", monkeypatch)
    np.testing.assert_array_equal(read_picture(packed, volume=False), PIXELS)


def test_another_failure_is_said_and_may_pass(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing("corrupted strip", monkeypatch)
    with pytest.raises(UnfinishedError, match=r"a\.tif can't be read: corrupted strip"):
        read_picture(packed, volume=False)


def test_a_reader_that_is_not_installed_is_named(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(BrokenFrameError, match=r"a\.tif: .* pip install 'camfast\[live\]'") as raised:
        read_picture(packed, volume=False)
    assert not isinstance(raised.value, UnfinishedError)  # waiting doesn't help


@pytest.mark.parametrize(("channels", "shape"), [(1, (4, 5)), (3, (4, 5, 3)), (4, (4, 5, 3))])
def test_one_channel_is_grey_and_opacity_goes(channels: int, shape: tuple[int, ...]) -> None:
    given = np.random.default_rng(1).integers(0, 256, (4, 5, channels)).astype(np.uint8)
    found = checked(given, volume=False, what="frame")
    assert found.shape == shape
    np.testing.assert_array_equal(found, given[..., 0] if channels == 1 else given[..., :3])
