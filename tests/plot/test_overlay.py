"""A map over an image: colours that say its sign, and images of every kind."""

import numpy as np
import pytest
import torch
from PIL import Image

from camfast import plot


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
