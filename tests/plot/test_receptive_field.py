"""A receptive field is drawn where it lies, with the Gaussian that was fitted to it."""

import numpy as np
import pytest
import torch

import camfast
from camfast import plot
from camfast.errors import InputError


def field_of(shape, sigma, centre):
    """A Gaussian field, written out pixel by pixel."""
    values = np.zeros(shape)
    for place in np.ndindex(*shape):
        values[place] = 5 * np.exp(-sum(((p - c) / s) ** 2 for p, c, s in zip(place, centre, sigma, strict=True)) / 2)
    alone = tuple(0.9 + 0.01 * i for i in range(len(sigma)))
    return camfast.ReceptiveField(sigma, centre, 0.9876, alone, 3, torch.from_numpy(values).float())


@pytest.mark.parametrize(("shape", "sigma", "centre"), [
    ((60,), (3.0,), (27.4,)), ((40, 50), (3.0, 4.5), (18.0, 25.5)), ((24, 26, 28), (2.0, 2.5, 3.0), (11.0, 12.0, 14.0)),
])  # fmt: skip
def test_lines_are_the_gaussian_through_the_sums(shape, sigma, centre):
    field = field_of(shape, sigma, centre)
    *views, profiles = plot.receptive_field(field, title="conv").axes
    assert len(views) == {1: 0, 2: 1, 3: 3}[len(shape)]
    for axis in range(len(shape)):
        dots, line = profiles.lines[2 * axis : 2 * axis + 2]
        others = tuple(other for other in range(len(shape)) if other != axis)
        sums = field.field.double().numpy().sum(others)
        np.testing.assert_allclose(dots.get_xdata(), np.arange(shape[axis]) - centre[axis], atol=1e-12)
        np.testing.assert_allclose(dots.get_ydata(), sums / sums.max(), rtol=1e-6)  # the field is float32
        at_dots = np.interp(dots.get_xdata(), line.get_xdata(), line.get_ydata())
        # the sum of a Gaussian is one; 500 points joined by straight lines are 0.001 off at σ = 2 pixels
        np.testing.assert_allclose(at_dots, dots.get_ydata(), atol=2e-3)
    texts = [text.get_text() for text in profiles.get_legend().get_texts()]
    names = "zyx"[3 - len(shape) :]
    assert texts == [
        f"{n}: σ = {s:.1f}, R² = {0.9 + 0.01 * i:.3f}" for i, (n, s) in enumerate(zip(names, sigma, strict=True))
    ]
    assert profiles.get_title() == "R² = 0.988 of 3 images; dots measured, lines fitted"


def test_ellipses_lie_around_the_centre():
    field = field_of((40, 50), (3.0, 4.5), (18.0, 25.5))
    panel = plot.receptive_field(field).axes[0]
    np.testing.assert_array_equal(panel.images[0].get_array(), field.field.double())
    assert [(*e.center, e.width, e.height) for e in panel.patches] == [(25.5, 18.0, 9.0, 6.0), (25.5, 18.0, 18.0, 12.0)]
    assert (panel.get_xlim(), panel.get_ylim()) == ((7.5, 43.5), (30.0, 6.0))  # 4 σ on every side


def test_of_a_volume_the_slices_through_the_centre():
    field = field_of((9, 10, 11), (1.0, 2.0, 3.0), (4.2, 5.6, 7.1))
    values = field.field.double().numpy()
    panels = plot.receptive_field(field, dark=True).axes[:3]
    for panel, plane in zip(panels, (values[4], values[:, 6], values[:, :, 7].T), strict=True):
        np.testing.assert_array_equal(panel.images[0].get_array(), plane)
    assert [panel.get_title() for panel in panels] == ["z = 4", "y = 6", "x = 7"]
    assert [(panel.get_xlabel()[0], panel.get_ylabel()[0]) for panel in panels] == [("x", "y"), ("x", "z"), ("z", "y")]
    sizes = [(panel.patches[0].width, panel.patches[0].height) for panel in panels]
    assert sizes == [(6.0, 4.0), (6.0, 2.0), (2.0, 4.0)]


def test_axes_have_to_fit_each_other():
    field = field_of((40, 50), (3.0, 4.5), (18.0, 25.5))
    wrong = camfast.ReceptiveField((3.0,), field.centre, 1.0, (1.0,), 1, field.field)
    with pytest.raises(InputError, match=r"the field has 2 axes, 1 σ and 2 centres"):
        plot.receptive_field(wrong)
