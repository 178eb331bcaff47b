"""Slices of a volume: the right planes, read alone."""

import numpy as np
import pytest

from camfast import plot
from camfast.errors import InputError
from tests.plot.drawn import SHAPE, panels


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


def test_circles_at_the_border_do_not_widen_the_panel(volume):
    figure = plot.slices(volume, markers=[plot.Markers("particle", [(3, 1, 29)], 8.0)])
    limits = [(*axes.get_xlim(), *axes.get_ylim()) for axes in panels(figure)]
    assert limits == [(-0.5, 29.5, 19.5, -0.5), (-0.5, 29.5, 5.5, -0.5), (-0.5, 5.5, 19.5, -0.5)]


def test_markers_are_circles_where_the_slice_cuts_the_sphere(volume):
    group = plot.Markers("particle", [(3, 5, 11), (5, 15, 20)], 2.5)
    figure = plot.slices(volume, centre=(3, 5, 20), markers=[group])
    circles = [[(*c.center, c.radius) for c in axes.patches] for axes in panels(figure)]
    assert circles[0] == [(11, 5, 2.5), (20, 15, pytest.approx(1.5))]
    assert circles[1] == [(11, 3, 2.5)]
    assert circles[2] == [(5, 15, 2.5)]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["particle"]


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"centre": (6, 0, 0)}, r"centre is \(6, 0, 0\), expected a voxel \(z, y, x\) of a volume of \(6, 20, 30\)"),
        ({"centre": (0, -1, 0)}, r"centre is \(0, -1, 0\), expected a voxel"),  # not the last, titled y = -1
        ({"centre": (1, 2)}, r"centre is \(1, 2\), expected a voxel"),
        ({"voxel_angstrom": 10.0}, "voxel_angstrom is 10.0, expected one number for each of z, y and x"),
    ],
)
def test_what_does_not_fit_is_named(volume, options, message):
    with pytest.raises(InputError, match=message):
        plot.slices(volume, volume, **options)
