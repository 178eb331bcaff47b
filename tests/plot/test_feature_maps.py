"""The feature maps that weigh most, in their order, with their weights and signs."""

import numpy as np
import pytest
import torch

from camfast import plot
from camfast.errors import InputError

WEIGHTS = [0.1, -3.0, 2.0, 0.0, -0.5]


@pytest.fixture
def activations():
    return np.random.default_rng(0).uniform(size=(5, 4, 6)).astype(np.float32)


def test_the_largest_weights_come_first_with_their_signs(activations):
    image = np.random.default_rng(1).normal(size=(16, 24))
    figure = plot.feature_maps(image, torch.from_numpy(activations), torch.tensor(WEIGHTS), count=3, title="layer")
    panels = figure.axes
    assert [panel.get_title() for panel in panels] == ["image", "1: w = −3", "2: w = +2", "4: w = −0.5"]
    np.testing.assert_array_equal(panels[0].images[0].get_array(), image.astype(np.float32))
    for panel, k in zip(panels[1:], (1, 2, 4), strict=True):
        (drawn,) = panel.images
        np.testing.assert_array_equal(drawn.get_array(), activations[k])
        assert (drawn.norm.vmin, drawn.norm.vmax) == (0.0, pytest.approx(activations[k].max()))
        assert panel.get_xlabel() == f"0 to {activations[k].max():.2g}"
    frames = [panel.spines["left"].get_edgecolor() for panel in panels[1:]]
    assert frames[0] == frames[2] != frames[1]
    assert [panel.spines["left"].get_linestyle() for panel in panels[1:]] == ["--", "-", "--"]


def test_there_may_be_fewer_than_asked_for(activations):
    assert len(plot.feature_maps(None, activations, np.array(WEIGHTS), count=9).axes) == 5


def test_of_volumes_the_slice_through_the_largest_value():
    activations = np.random.default_rng(0).uniform(size=(2, 3, 4, 5)).astype(np.float32)
    activations[0, 2, 1, 1], activations[1, 0, 3, 3] = 7.0, 8.0
    image = np.random.default_rng(1).normal(size=(12, 16, 20)).astype(np.float32)
    panels = plot.feature_maps(image, activations, np.array([2.0, 1.0])).axes
    np.testing.assert_array_equal(panels[1].images[0].get_array(), activations[0, 2])
    np.testing.assert_array_equal(panels[2].images[0].get_array(), activations[1, 0])
    np.testing.assert_array_equal(panels[0].images[0].get_array(), image[10])  # the middle of the third of 3 cells
    assert [panel.get_xlabel() for panel in panels] == ["z = 10", "z = 2; 0 to 7", "z = 0; 0 to 8"]


def test_a_map_without_positive_values_is_drawn(activations, tmp_path):
    plot.save(plot.feature_maps(None, -activations, np.array(WEIGHTS), dark=True), tmp_path / "a.png")
    plot.save(plot.feature_maps(None, -activations, np.array(WEIGHTS), dark=True), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((None, np.ones((5, 4, 6)), np.ones(4)), r"activations have the shape \(5, 4, 6\) and weights \(4,\)"),
        ((None, np.ones((5, 4)), np.ones(5)), r"expected \(C, \[z, \]y, x\)"),
        ((np.ones((4, 4, 4)), np.ones((5, 4, 6)), np.ones(5)), r"the image has the shape \(4, 4, 4\)"),
        ((np.ones((4, 4)), np.ones((5, 4, 6, 6)), np.ones(5)), r"the image has the shape \(4, 4\)"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, says):
    with pytest.raises(InputError, match=says):
        plot.feature_maps(*arguments)
    with pytest.raises(InputError, match="count is 0, at least 1"):
        plot.feature_maps(None, np.ones((1, 2, 2)), np.ones(1), count=0)


def test_a_row_that_is_not_full_ends_with_its_last_map():
    activations = np.random.default_rng(0).uniform(size=(7, 4, 6)).astype(np.float32)
    figure = plot.feature_maps(None, activations, np.arange(7.0, 0.0, -1.0), count=7)
    assert [panel.get_title().partition(":")[0] for panel in figure.axes] == list("0123456")
    assert all(panel.images for panel in figure.axes)  # and no empty ones beside them
