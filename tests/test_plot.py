"""Figures are drawn without a display, show the right slices, and say how they came about."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from camfast import plot
from camfast.errors import InputError, MissingExtraError

SHAPE = (6, 20, 30)


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def panels(figure):
    """Axes that hold a slice, in the order z, y, x."""
    return [axes for axes in figure.axes if axes.get_title()[:1] in "zyx" and axes.images]


def test_drawing_needs_no_pyplot(volume):
    code = "matplotlib.pyplot"
    before = sys.modules.pop(code, None)
    try:
        plot.slices(volume, volume)
        assert code not in sys.modules
    finally:
        if before is not None:
            sys.modules[code] = before


def test_slices_show_the_planes_through_the_centre(volume):
    z, y, x = 2, 5, 11
    figure = plot.slices(volume, -2 * volume, centre=(z, y, x))
    expected = [volume[z], volume[:, y], volume[:, :, x].T]
    for axes, plane in zip(panels(figure), expected, strict=True):
        density, heat = axes.images
        np.testing.assert_array_equal(density.get_array(), plane)
        np.testing.assert_array_equal(heat.get_array(), -2 * plane)


def test_slices_are_read_lazily(volume):
    class Lazy:
        shape, read = SHAPE, 0

        def __getitem__(self, place):
            taken = volume[place]
            Lazy.read += taken.size
            return taken

    plot.slices(Lazy(), Lazy())
    assert Lazy.read == 2 * (6 * 20 + 6 * 30 + 20 * 30)


def test_signed_maps_diverge_from_0_and_others_rise_from_it(volume):
    for heat, low in ((volume, -1.0), (np.abs(volume), 0.0)):
        drawn = plot.overlay(volume[0], heat[0]).axes[0].images[1]
        limit = float(np.abs(heat[0]).max())
        assert (drawn.norm.vmin, drawn.norm.vmax) == pytest.approx((low * limit, limit))
        at_0, at_top = drawn.cmap(drawn.norm(0.0)), drawn.cmap(drawn.norm(limit))
        assert at_0[3] < 0.01
        assert at_top[3] == pytest.approx(0.75)
        assert at_top[0] > at_top[2]  # red
    drawn = plot.overlay(volume[0], volume[0]).axes[0].images[1]
    below = drawn.cmap(drawn.norm(-1e9))
    assert below[2] > below[0]  # blue


def test_a_limit_is_kept(volume):
    drawn = plot.overlay(volume[0], volume[0], limit=0.5).axes[0].images[1]
    assert (drawn.norm.vmin, drawn.norm.vmax) == (-0.5, 0.5)
    drawn = plot.slices(volume, volume, limit=(-2.0, 0.5)).axes[0].images[1]
    assert drawn.norm([-2.0, -1.0, 0.0, 0.25, 0.5]).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_constant_maps_and_images_are_drawn(tmp_path, value):
    flat = np.full((6, 6, 6), value)
    plot.save(plot.slices(flat, flat), tmp_path / "a.png")
    plot.save(plot.overlay(flat[0], flat[0]), tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        with Image.open(tmp_path / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 1  # something was drawn


def test_tensors_and_colour_images(volume):
    photo = (np.random.default_rng(1).uniform(0, 255, (20, 30, 3))).astype(np.uint8)
    heat = torch.from_numpy(volume[0]).bfloat16()
    figure = plot.overlay(photo, heat, title="cat", desaturate=0)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), photo)
    with Image.fromarray(photo) as picture:
        luma = np.asarray(picture.convert("L"), float)
    grey = plot.overlay(photo, heat, desaturate=1).axes[0].images[0].get_array().astype(float)
    assert np.abs(grey - luma[..., None]).max() <= 1.0
    assert figure.axes[0].get_title() == "cat"


@pytest.mark.parametrize(
    ("size", "text"),
    [((10.0, 10.0, 10.0), "5 nm"), ((1.0, 1.0, 1.4), "0.5 nm"), ((1e4,) * 3, "5 µm"), ((1e7,) * 3, "5 mm")],
)
def test_the_scale_bar_has_a_round_length(volume, size, text):
    axes = panels(plot.slices(volume, voxel_angstrom=size))[0]
    assert [label.get_text() for label in axes.texts] == [text]
    (line,) = axes.lines
    left, right = line.get_xdata()
    nanometres = float(text.split()[0]) * {"nm": 1, "µm": 1e3, "mm": 1e6}[text.split()[1]]
    assert (right - left) * size[2] / 10 == pytest.approx(nanometres)
    assert 0 <= left < right <= 30


def test_no_scale_bar_without_a_voxel_size(volume):
    assert not panels(plot.slices(volume))[0].texts


def test_markers_are_circles_where_the_slice_cuts_the_sphere(volume):
    group = plot.Markers("particle", [(3, 5, 11), (5, 15, 20)], 2.5)
    figure = plot.slices(volume, centre=(3, 5, 20), markers=[group])
    circles = [[(*c.center, c.radius) for c in axes.patches] for axes in panels(figure)]
    assert circles[0] == [(11, 5, 2.5), (20, 15, pytest.approx(1.5))]
    assert circles[1] == [(11, 3, 2.5)]
    assert circles[2] == [(5, 15, 2.5)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["particle"]


def test_circles_at_the_border_do_not_widen_the_panel(volume):
    figure = plot.slices(volume, markers=[plot.Markers("particle", [(3, 1, 29)], 8.0)])
    limits = [(*axes.get_xlim(), *axes.get_ylim()) for axes in panels(figure)]
    assert limits == [(-0.5, 29.5, 19.5, -0.5), (-0.5, 29.5, 5.5, -0.5), (-0.5, 5.5, 19.5, -0.5)]


def test_dark_figures_are_dark(volume, tmp_path):
    for dark in (False, True):
        plot.save(plot.slices(volume, dark=dark), tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as picture:
            assert (picture.convert("L").getpixel((0, 0)) < 60) == dark


def test_files_say_how_they_came_about_and_are_byte_equal(volume, tmp_path):
    for name in ("a.png", "b.png"):
        plot.save(plot.slices(volume, volume), tmp_path / name, method="respond", target=3)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        text = picture.text
    assert json.loads(text["Description"]) == {"method": "respond", "target": 3}
    assert text["Software"].startswith("camfast ")


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
