"""The study of attentive responses: shares are what a hand computes, and the default map agrees with itself."""

import pytest
import torch
from torch import nn

import camfast
from studies import attentive


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setattr(attentive, "UNITS", 3)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), nn.Linear(4 * 27, 2)
    ).eval()


def test_the_share_inside_is_that_of_the_positive_part(network):
    images, masks = torch.rand(10, 1, 6, 6, 6), torch.rand(10, 6, 6, 6) > 0.6
    maps, share = attentive.look(attentive.Trained("small", network, "1", 0.5), images, masks)
    assert maps.shape == (10, 6, 6, 6)
    for sample in range(10):  # more than one batch of eight
        alone = camfast.attentive_response(network, images[sample : sample + 1], "1", attentive.UNITS).values[0]
        torch.testing.assert_close(maps[sample], alone)
        inside = total = 0.0
        for value, marked in zip(alone.flatten().tolist(), masks[sample].flatten().tolist(), strict=True):
            inside, total = inside + max(value, 0) * marked, total + max(value, 0)
        assert float(share[sample]) == pytest.approx(inside / total, rel=1e-4)  # float32 against float64


def test_choices_are_compared_with_the_default(network):
    images = torch.rand(3, 1, 6, 6, 6)
    found = attentive.vary(network, images, "1")
    assert list(found) == list(attentive.VARIED)
    assert found["as it is"] == pytest.approx([1.0] * 3)
    default, linear = (
        camfast.attentive_response(network, images, "1", attentive.UNITS, rule=rule).values.double().flatten(1)
        for rule in ("deconvnet", "linear")
    )
    a, b = (values - values.mean(1, keepdim=True) for values in (default, linear))
    assert found["rule linear"] == pytest.approx(((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).tolist(), abs=1e-5)
