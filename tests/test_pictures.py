"""A picture is read as a picture, whatever stands in a file of that name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from camfast.cli.inputs import read_image
from camfast.errors import InputError
from camfast.live.frames import BrokenFrameError
from camfast.live.sources.pictures import read_picture
from camfast.saving import read_provenance

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "photo.eps", "photo.tif"])
def test_no_program_is_started_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments: started.append(arguments))
    path = tmp_path / name
    path.write_bytes(EPS)
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_image(path)
    with pytest.raises((BrokenFrameError, KeyError)):
        read_picture(path, volume=False)
    with pytest.raises(InputError):
        read_provenance(path)
    assert started == []


KINDS = {
    "png": "PNG",
    "jpg": "JPEG",
    "mpo": "MPO",
    "tif": "TIFF",
    "bmp": "BMP",
    "gif": "GIF",
    "webp": "WEBP",
    "ppm": "PPM",
}


@pytest.mark.parametrize("ending", KINDS)
def test_every_kind_is_read_whatever_the_file_is_called(tmp_path: Path, ending: str) -> None:
    """MPO is what phones write into files that end with .jpg: it has a picture and a preview."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, 15:] = 255
    picture, more = Image.fromarray(pixels), [Image.new("RGB", (8, 8))] if ending == "mpo" else []
    given = {"save_all": True, "append_images": more} if more else {}
    picture.save(tmp_path / f"photo.{ending}", format=KINDS[ending], **given)
    (tmp_path / f"photo.{ending}").rename(tmp_path / "photo.jpg")
    found = read_image(tmp_path / "photo.jpg")
    assert np.abs(np.asarray(found.convert("RGB")).astype(int) - pixels).max() <= 8  # JPEG and WebP lose a little
