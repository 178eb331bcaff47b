"""The covariance that Grad-CAM's sum lacks, against numpy, and the rows that a network gives."""

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast import metrics
from studies import sum_to_score
from studies.common.sum_to_score_pictures import sums_against_scores
from studies.sum_to_score import Outcome


@pytest.fixture
def network():
    return nn.Sequential(
        nn.Conv3d(1, 3, 3, padding=1), nn.Tanh(), nn.Conv3d(3, 2, 3, padding=1), nn.Tanh(), nn.Flatten(),
        nn.Linear(2 * 64, 4),
    ).double()  # fmt: skip


def explained(network, samples=3):
    with camfast.capture(network, "1") as captured:
        scores = network(torch.rand(samples, 1, 4, 4, 4).double())
    return captured, scores


def test_the_covariance_is_that_of_numpy(network):
    captured, scores = explained(network)
    found = sum_to_score.covariance(captured.activations, scores)
    assert found.shape == (3, 4)
    A = captured.activations.detach().flatten(2).numpy()
    for c in range(4):
        (G,) = torch.autograd.grad(scores[:, c].sum(), captured.activations, retain_graph=True)
        for n in range(3):
            covariances = [np.cov(a, g, bias=True)[0, 1] for a, g in zip(A[n], G[n].flatten(1).numpy(), strict=True)]
            assert float(found[n, c]) == pytest.approx(64 * sum(covariances), rel=1e-9)


def outcome_of(network):
    captured, scores = explained(network, 5)
    outcome = Outcome()
    for method in sum_to_score.METHODS:
        upsample = "linear" if method == "extended" else None
        outcome.add(method, captured.map(scores, method, relu=False, size="grid", upsample=upsample), scores.detach())
    outcome.scores.append(scores.detach())
    outcome.covariance.append(sum_to_score.covariance(captured.activations, scores))
    return outcome


def test_it_is_what_grad_cams_sum_lacks(network):
    outcome = outcome_of(network)
    beside = outcome.all("sums", "respond") - outcome.all("sums", "gradcam")
    torch.testing.assert_close(beside, torch.cat(outcome.covariance))


def test_rows_and_figures_say_what_was_measured(network):
    outcome = outcome_of(network)
    rows = {row[0]: row[1:] for row in sum_to_score.rows(outcome)}
    assert set(rows) == {" = ".join(sum_to_score.FAMILY), *sum_to_score.METHODS} - set(sum_to_score.FAMILY)
    scores, sums = outcome.scores[0], outcome.all("sums", "gradcam")
    assert float(rows["gradcam"][0].split()[0]) == pytest.approx(float((scores - sums).abs().mean()), abs=6e-4)
    found = sum_to_score.figures(outcome)
    assert found["samples"] == 5
    assert found["largest_difference_of_sums_in_the_family"] < 1e-6  # maps may be float32 inside
    tau = outcome.all("tau", "gradcam")
    assert found["methods"]["gradcam"]["tau"]["mean"] == pytest.approx(float(tau.nanmean()))
    expected = metrics.paired_bootstrap(outcome.all("l1", "respond"), outcome.all("l1", "gradcam"))
    assert found["respond_minus_gradcam"]["l1"]["estimate"] == pytest.approx(expected.estimate)


def test_the_picture_shows_every_sum_at_its_score(network):
    outcome = outcome_of(network)
    panels = sums_against_scores([("small", "1.0", 0.1, outcome)]).axes
    for panel, method in zip(panels, ("gradcam", "respond"), strict=True):
        points = panel.get_lines()[0]
        np.testing.assert_allclose(points.get_xdata(), outcome.scores[0].flatten())
        np.testing.assert_allclose(points.get_ydata(), outcome.all("sums", method).flatten())
