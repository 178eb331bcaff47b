"""What lies in a watched folder: which files are frames, in which formats, and volumes."""

from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image

from camfast.errors import InputError
from camfast.live.frames import Frame, SourceError
from camfast.live.sources import FolderSource, open_source
from tests.live.sources.folders import RANDOM, picture, write
from tests.live.sources.until import next_frame


def test_patterns_choose(tmp_path: Path) -> None:
    (tmp_path / "square1" / "data").mkdir(parents=True)
    source = open_source(f"watch:{tmp_path}/square*/**/img_?.tif")
    source.open()
    for name in ("img_1.tif", "square1/img_10.tif", "square1/.img_1.tif", "square1/img_1.txt"):
        write(tmp_path / name, picture())
    assert source.read(0.1) is None
    for number, name in enumerate(("square1/img_1.tif", "square1/data/img_2.tif")):
        write(tmp_path / name, picture())
        frame = next_frame(source)
        assert (frame.number, frame.name) == (number, name)
    source.close()


def test_a_name_without_a_pattern(tmp_path: Path) -> None:
    assert open_source(f"watch:{tmp_path}").name == f"watch:{tmp_path}/*"
    assert open_source(f"watch:{tmp_path}/live.tif").name == f"watch:{tmp_path}/live.tif"
    assert open_source("watch:a/*.tif?volume=1").name == "watch:a/*.tif?volume=1"
    assert open_source("watch:*.tif").name == "watch:*.tif"
    with pytest.raises(InputError, match=r"no reader for \.docx; there are \.tif"):
        open_source("watch:a/*.docx")
    with pytest.raises(InputError, match="expected a folder and a pattern"):
        open_source("watch:")
    with pytest.raises(SourceError, match="isn't open"):
        open_source("watch:a/*.tif").read(0)


def test_formats(tmp_path: Path) -> None:
    """What other libraries write is read as it was."""
    grey = picture(40, 30)
    bytes_ = (grey >> 8).astype(np.uint8)
    colours = RANDOM.integers(0, 256, (40, 30, 3)).astype(np.uint8)
    source = FolderSource(tmp_path)
    source.open()

    def read() -> Frame:
        frame = next_frame(source)
        (tmp_path / frame.name).unlink()
        return frame

    for name, image, expected in (
        ("a.png", Image.fromarray(grey), grey),
        ("b.png", Image.fromarray(bytes_), bytes_),
        ("c.png", Image.fromarray(colours), colours),
        ("d.png", Image.fromarray(colours).convert("RGBA"), colours),
        ("e.png", Image.fromarray(bytes_ > 127), np.uint8(255) * (bytes_ > 127)),
        ("f.bmp", Image.fromarray(colours), colours),
        ("g.png", Image.fromarray(bytes_).convert("LA"), bytes_),
        (
            "h.png",
            Image.fromarray(colours).convert("P"),
            np.asarray(Image.fromarray(colours).convert("P").convert("RGB")),
        ),
    ):
        image.save(tmp_path / f".{name}", format=name[-3:])
        (tmp_path / f".{name}").rename(tmp_path / name)
        frame = read()
        assert frame.name == name
        assert frame.data.dtype == expected.dtype
        np.testing.assert_array_equal(frame.data, expected, err_msg=name)
    Image.fromarray(grey).save(tmp_path / "lzw", format="tiff", compression="tiff_lzw")
    (tmp_path / "lzw").rename(tmp_path / "lzw.tif")
    np.testing.assert_array_equal(read().data, grey)
    tifffile.imwrite(tmp_path / "planes", np.moveaxis(colours, -1, 0), photometric="rgb", planarconfig="separate")
    (tmp_path / "planes").rename(tmp_path / "planes.tif")
    np.testing.assert_array_equal(read().data, colours)
    for data in (grey, grey.astype(np.float32), bytes_.astype(np.int8), grey.astype(np.float16)):
        mrcfile.write(tmp_path / "m", data)
        (tmp_path / "m").rename(tmp_path / "m.mrc")
        np.testing.assert_array_equal(read().data, data)
    source.close()


@pytest.mark.parametrize("volume", [False, True])
@pytest.mark.parametrize("ending", ["tif", "mrc", "em"])
def test_pages_are_a_volume_where_that_is_asked_for(tmp_path: Path, ending: str, volume: bool) -> None:
    pages = RANDOM.standard_normal((3, 6, 5)).astype(np.float32)
    source = FolderSource(tmp_path, f"*.{ending}", volume=volume)
    source.open()
    if ending == "tif":
        tifffile.imwrite(tmp_path / "hidden", pages, photometric="minisblack")
    elif ending == "mrc":
        mrcfile.write(tmp_path / "hidden", pages)
    else:
        header = np.zeros(128, "<i4")
        header[:4] = (np.frombuffer(b"\6\0\0\5", "<i4")[0], 5, 6, 3)
        (tmp_path / "hidden").write_bytes(header.tobytes() + pages.tobytes())
    (tmp_path / "hidden").rename(tmp_path / f"a.{ending}")
    frame = next_frame(source)
    source.close()
    assert frame.volume is volume
    np.testing.assert_array_equal(frame.data, pages if volume else pages[-1])


def test_one_page_is_a_picture_also_where_volumes_are_asked_for(tmp_path: Path) -> None:
    source = FolderSource(tmp_path, volume=True)
    source.open()
    data = picture()
    write(tmp_path / "a.tif", data)
    frame = next_frame(source)
    source.close()
    assert not frame.volume
    np.testing.assert_array_equal(frame.data, data)
