"""A picture is read as a picture, whatever stands in a file of that name."""

from pathlib import Path

import pytest
from PIL import EpsImagePlugin

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
