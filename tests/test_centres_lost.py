"""Axes that meet, and axes that are cut or left out by name: what is known of the others stays known."""

import pytest
import torch

import camfast
from tests.test_centres import Calls, last

IMAGE = torch.rand(1, 1, 16, 16)


def centres(model):
    return camfast.receptive_field_centres(model, last(model), IMAGE)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: x + x.transpose(2, 3), "at add, where different axes meet"),
        (lambda x: x.reshape(1, 2, 8, 16), "at view"),
        (lambda x: x.reshape(1, 4, 8, 8), "at view"),
    ],
)
def test_where_a_place_is_lost(function, says):
    with pytest.raises(camfast.CaptureError, match=says):
        centres(Calls(function))


def test_a_sample_that_is_taken_out_and_put_back_moves_nothing():
    assert centres(Calls(lambda x: x[0].unsqueeze(0))) == centres(Calls(lambda x: x * 1.0))
    assert centres(Calls(lambda x: torch.stack(x.unbind(1), 1))) == centres(Calls(lambda x: x * 1.0))


def test_a_matrix_turned_twice_is_as_it_was():
    assert centres(Calls(lambda x: x[0, 0].t().t()[None, None])) == centres(Calls(lambda x: x * 1.0))
