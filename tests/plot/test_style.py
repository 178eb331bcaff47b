"""What holds for every figure: no display, light and dark, one scale that is said, errors that name what was found."""

import sys

import numpy as np
import pytest
from PIL import Image

from camfast import plot
from camfast.errors import InputError, MissingExtraError


def test_drawing_needs_no_pyplot(volume):
    code = "matplotlib.pyplot"
    before = sys.modules.pop(code, None)
    try:
        plot.slices(volume, volume)
        assert code not in sys.modules
    finally:
        if before is not None:
            sys.modules[code] = before


def test_a_limit_is_kept(volume):
    drawn = plot.overlay(volume[0], volume[0], limit=0.5).axes[0].images[1]
    assert (drawn.norm.vmin, drawn.norm.vmax) == (-0.5, 0.5)
    drawn = plot.slices(volume, volume, limit=(-2.0, 0.5)).axes[0].images[1]
    assert drawn.norm([-2.0, -1.0, 0.0, 0.25, 0.5]).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("limit", [-1.0, (0.5, 1.0), (-2.0, -1.0)])
def test_limits_on_one_side_of_0_are_named(volume, limit):
    with pytest.raises(InputError, match=r"expected a number of at least 0, or \(low, high\) on both sides of 0"):
        plot.overlay(volume[0], volume[0], limit=limit)


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_constant_maps_and_images_are_drawn(tmp_path, value):
    flat = np.full((6, 6, 6), value)
    plot.save(plot.slices(flat, flat), tmp_path / "a.png")
    plot.save(plot.overlay(flat[0], flat[0]), tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        with Image.open(tmp_path / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 1  # something was drawn


def test_dark_figures_are_dark(volume, tmp_path):
    for dark in (False, True):
        plot.save(plot.slices(volume, dark=dark), tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as picture:
            assert (picture.convert("L").getpixel((0, 0)) < 60) == dark


def test_what_does_not_fit_is_refused(volume):
    with pytest.raises(InputError, match=r"image has the shape \(20, 30\) and the map \(6, 20\)"):
        plot.overlay(volume[0], volume[:, :, 0])
    with pytest.raises(InputError, match=r"the volume has the shape \(6, 20, 30\) and the map \(6, 20, 29\)"):
        plot.slices(volume, volume[:, :, 1:])
    with pytest.raises(InputError, match=r"shape \(20, 30\)"):
        plot.slices(volume[0])


def test_without_matplotlib_the_extra_is_named(volume, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"camfast\[plot\]"):
        plot.slices(volume)


@pytest.mark.parametrize(("limit", "sign", "says"), [
    (None, 1, ", one scale for both signs"), ((-2.0, 0.5), 1, ", each sign on a scale of its own"), (None, 0, ""),
])  # fmt: skip
def test_the_colour_bar_says_how_the_signs_are_scaled(volume, limit, sign, says):
    heat = volume if sign else np.abs(volume)
    for figure in (plot.slices(volume, heat, limit=limit), plot.overlay(volume[0], heat[0], limit=limit)):
        assert figure.axes[-1].get_ylabel() == f"class activation map{says}"


def test_a_dollar_is_a_dollar(volume, tmp_path):
    """Between two of them matplotlib reads a formula, and fails where there is none: names of files may have any."""
    plot.save(plot.slices(volume, title=r"run $\frac{1$ of 3"), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 0
