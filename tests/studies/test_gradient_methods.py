"""Correlations with an image's edges and with another class's map, on maps that are known."""

import math

import numpy as np
import pytest
import torch
from skimage.filters import sobel

from studies import gradient_methods
from studies.gradient_methods import Shown


@pytest.fixture
def displayed():
    """Noise, whose edges have many strengths."""
    return np.random.default_rng(0).integers(0, 255, (9, 11, 3)).astype(np.uint8)


def shown(displayed, own, other=None):
    return Shown("x", displayed, {"m": own}, {"m": own if other is None else other})


def test_edges_are_found_whatever_the_scale(displayed):
    strength = torch.from_numpy(sobel(displayed.mean(-1)))
    assert shown(displayed, strength).edges("m") == pytest.approx(1)
    assert shown(displayed, strength**3 + 2).edges("m") == pytest.approx(1)  # ranks alone count
    assert shown(displayed, -strength).edges("m") == pytest.approx(-1)
    assert math.isnan(shown(displayed, torch.zeros(9, 11)).edges("m"))


def test_a_step_has_its_edge_beside_it():
    step = np.zeros((8, 8, 3), np.uint8)
    step[:, 4:] = 200
    heat = torch.zeros(8, 8)
    heat[:, 3:5] = 1
    assert shown(step, heat).edges("m") == pytest.approx(1)
    assert shown(step, heat.roll(3, 1)).edges("m") < 0


def test_two_classes_are_compared_by_ranks(displayed):
    own, other = torch.randn(2, 9, 11)
    a, b = (np.argsort(np.argsort(values.flatten().numpy())).astype(float) for values in (own, other))
    assert shown(displayed, own, other).between_classes("m") == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert shown(displayed, own).between_classes("m") == pytest.approx(1)
    assert math.isnan(shown(displayed, own, torch.zeros(9, 11)).between_classes("m"))


def test_the_magnitude_is_the_largest_of_the_channels():
    gradients = torch.tensor([[[[1.0, -2.0]], [[-3.0, 0.5]]]])
    assert gradient_methods.magnitude(gradients).tolist() == [[[3.0, 2.0]]]


def test_tables_have_a_column_an_image_and_say_empty(displayed):
    maps = {name: torch.rand(9, 11) for name in gradient_methods.METHODS}
    images = [Shown("a", displayed, maps, maps), Shown("b", displayed, maps, {**maps, "HiResCAM": torch.zeros(9, 11)})]
    measured = gradient_methods.measure(images)
    table = gradient_methods.table("title", measured, ["a", "b"])
    assert table.columns == ("method", "a: edges", "b: edges", "a: other class", "b: other class")
    rows = {row[0]: row[1:] for row in table.rows}
    assert set(rows) == set(gradient_methods.METHODS)
    assert rows["HiResCAM"][2:] == ("1.00", "empty")
    assert rows["saliency"][0] == f"{images[0].edges('saliency'):.2f}"
