"""Files say how they came about, and a rerun gives the same bytes."""

import json

import pytest
from PIL import Image

from camfast import plot
from camfast.errors import InputError


def test_files_say_how_they_came_about_and_are_byte_equal(volume, tmp_path):
    for name in ("a.png", "b.png"):
        plot.save(plot.slices(volume, volume), tmp_path / name, method="respond", target=3)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        text = picture.text
    assert json.loads(text["Description"]) == {"method": "respond", "target": 3}
    assert text["Software"].startswith("camfast ")


def test_what_cannot_be_saved(volume, tmp_path):
    figure = plot.overlay(volume[0], volume[0])
    with pytest.raises(InputError, match=r"there is no folder .*absent; make it first"):
        plot.save(figure, tmp_path / "absent" / "cam.png")
    with pytest.raises(TypeError, match="figure must be one of matplotlib, found ndarray"):
        plot.save(volume, tmp_path / "cam.png")
    with pytest.raises(TypeError, match=r"provenance must be what camfast\.provenance says .* found str"):
        plot.save(figure, tmp_path / "cam.png", provenance="gradcam")
    assert not any(tmp_path.iterdir())
