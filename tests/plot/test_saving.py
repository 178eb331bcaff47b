"""Files say how they came about, and a rerun gives the same bytes."""

import json

from PIL import Image

from camfast import plot


def test_files_say_how_they_came_about_and_are_byte_equal(volume, tmp_path):
    for name in ("a.png", "b.png"):
        plot.save(plot.slices(volume, volume), tmp_path / name, method="respond", target=3)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        text = picture.text
    assert json.loads(text["Description"]) == {"method": "respond", "target": 3}
    assert text["Software"].startswith("camfast ")
