"""The study of confidence: one pass gives what each map needs, and closed forms coincide where they must."""

import pytest
import torch
from torch import nn

import camfast
from studies import confidence


def bed(*head):
    network = nn.Sequential(nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 3, padding=1), nn.ReLU(), *head)
    inputs = torch.rand(3, 2, 9, 9)
    return confidence.Bed("small", network.eval(), inputs, None, ("3", "1"), torch.rand(4, 2, 9, 9))


@pytest.fixture
def pooled():
    return bed(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


@pytest.fixture
def dense():
    return bed(nn.Flatten(), nn.Linear(4 * 81, 3))


def test_features_are_those_of_an_explainer(dense):
    f = confidence.features(dense, "1")
    torch.testing.assert_close(f.y, dense.network(dense.inputs).amax(1).detach())
    for method in ("gradcam", "hirescam", "respond"):
        torch.testing.assert_close(
            f.maps(method, "linear"), camfast.cam(dense.network, dense.inputs, "1", method=method)
        )
    wide = camfast.cam(
        dense.network, dense.inputs, "1", method="extended", sigma=[1.5 * s for s in f.sigma], centres=f.centres
    )
    torch.testing.assert_close(f.maps("extended", "gaussian", 1.5), wide)


def test_grad_cam_is_extended_cam_behind_average_pooling_only(pooled, dense):
    said = [confidence.coincide(confidence.features(one, "3")) for one in (pooled, dense)]
    distances = [float(text.split(" is ")[1].rstrip(".")) for text in said]
    assert distances[0] < 1e-5  # float32
    assert distances[1] > 1e-2
    f = confidence.features(dense, "3")
    own, other = (f.A * f.G.mean((2, 3), keepdim=True)).sum(1), (f.A * f.G).sum(1)
    assert distances[1] == pytest.approx(float((own - other).norm() / other.norm()), rel=0.05)  # two digits are said


def test_random_maps_ask_no_network_and_are_the_same_in_every_run(dense):
    f = confidence.features(dense, "3")
    for upsample in confidence.UPSAMPLINGS:
        maps = f.maps("random", upsample)
        assert maps.shape == (3, 9, 9)
        assert torch.equal(maps, f.maps("random", upsample))
        assert torch.equal(maps, confidence.features(dense, "3").maps("random", upsample))


def test_what_is_left_is_what_was_measured(dense):
    maps = torch.rand(3, 9, 9)
    maps[1] = 0.5
    found = confidence.changes(dense, maps)
    assert set(found) == set(confidence.MASKS)
    alone = camfast.metrics.confidence_change(
        dense.network, dense.inputs, maps, mask="top50", baseline="mean", preprocess=None
    )
    torch.testing.assert_close(found["top50"].drop, alone.drop)
    shown = confidence.cells(found)
    assert len(shown) == len(confidence.heads())
    assert shown[-1] == "/".join(str(int(found[name].constant.sum())) for name in confidence.MASKS)
    assert float(shown[0].split()[0]) == pytest.approx(float(found["minmax"].drop.mean()), abs=0.051)  # one digit


def test_residuals_are_what_the_sums_lack(dense):
    f = confidence.features(dense, "3")
    shown = dict(confidence.residuals(f))
    assert set(shown) == set(confidence.METHODS)
    lacks = f.y - (f.A * f.G).flatten(1).sum(1)
    assert float(shown["extended"].split()[0]) == pytest.approx(float(lacks.mean()), abs=0.0051)  # two digits


def test_fewer_images_are_the_first(dense):
    fewer = confidence.first(dense, 2)
    assert torch.equal(fewer.inputs, dense.inputs[:2])
    assert confidence.differences({("extended", "gaussian"): confidence.changes(fewer, torch.rand(2, 9, 9))}) == (
        "Too few images for an order."
    )
