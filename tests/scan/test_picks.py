"""Which peaks are picks: the nearest window's verdict, probabilities, order."""

import numpy as np
import pytest
import torch

from camfast.errors import InputError
from camfast.scan.picking.peaks import Peaks, peaks
from camfast.scan.picking.picks import Picks, choose, default_distance, merge, nearest_window, pick
from camfast.scan.windows.plan import plan_windows

PLAN = plan_windows((40, 33, 47), (12, 8, 9), (8, 4, 3))


def _peaks(positions, values=None):
    positions = np.array(positions, np.int64).reshape(-1, 3)
    values = np.arange(len(positions), 0, -1, dtype=np.float32) if values is None else np.array(values, np.float32)
    return Peaks(positions, values, positions.astype(np.float64))


def _picks(positions, values, labels):
    values = np.array(values, np.float32)
    return Picks(np.array(positions, float).reshape(-1, 3), values, np.array(labels, np.int64), np.ones_like(values))


def test_nearest_window_is_the_one_of_all_whose_centre_is_nearest():
    rng = np.random.default_rng(0)
    position = rng.uniform(-0.5, np.array(PLAN.shape) - 0.5, (300, 3))
    position[:100] = rng.integers(0, PLAN.shape, (100, 3))
    centres = np.array(list(np.ndindex(PLAN.counts))) * PLAN.stride + (np.array(PLAN.window) - 1) / 2
    expected = np.linalg.norm(position[:, None] - centres, axis=2).argmin(axis=1)  # the first of equals
    flat = np.ravel_multi_index(tuple(nearest_window(PLAN, position).T), PLAN.counts)
    assert len(set(flat.tolist())) > 100
    np.testing.assert_array_equal(flat, expected)


def test_picks_are_the_peaks_whose_window_is_predicted_as_the_class():
    rng = np.random.default_rng(1)
    scores = torch.from_numpy(rng.standard_normal((*PLAN.counts, 4))).float()
    found = _peaks(rng.integers(0, PLAN.shape, (200, 3)), rng.standard_normal(200))
    window = nearest_window(PLAN, found.position)
    own = scores[tuple(torch.from_numpy(window.T))]
    for target in range(4):
        picks = choose(found, scores, PLAN, target)
        keep = (own.argmax(dim=1) == target).numpy()
        assert 20 < keep.sum() < 100
        order = np.argsort(-found.value[keep], kind="stable")
        np.testing.assert_array_equal(picks.position, found.position[keep][order])
        np.testing.assert_array_equal(picks.value, found.value[keep][order])
        assert set(picks.label.tolist()) == {target}
        expected = torch.softmax(own.double(), dim=1)[:, target].numpy()[keep][order]
        np.testing.assert_allclose(picks.probability, expected, rtol=2e-7)  # float32
        everything = choose(found, scores, PLAN, target, agree=False)
        assert len(everything) == 200
        likely = choose(found, scores, PLAN, target, minimum_probability=0.5)
        assert 0 < len(likely) < len(picks)
        assert likely.probability.min() >= 0.5


def test_a_single_score_is_a_verdict_by_its_sign():
    scores = np.full((*PLAN.counts, 1), -2.0)
    scores[0, 0, 0] = 3.0
    found = _peaks([(2, 2, 2), (30, 30, 40)])
    picks = choose(found, scores, PLAN, 0)
    assert picks.position.tolist() == [[2, 2, 2]]
    np.testing.assert_allclose(picks.probability, 1 / (1 + np.exp(-3.0)), rtol=1e-7)
    np.testing.assert_allclose(choose(found, scores, PLAN, 0, agree=False).probability[1], 1 / (1 + np.exp(2.0)), 1e-6)


def test_equal_scores_are_no_verdict():
    assert len(choose(_peaks([(2, 2, 2)]), np.zeros((*PLAN.counts, 3)), PLAN, 0)) == 0


def test_windows_that_were_left_out_and_infinite_scores():
    scores = np.zeros((*PLAN.counts, 3))
    scores[..., 1] = 1000.0
    scores[..., 2] = -np.inf
    scores[0, 0, 0] = np.nan
    found = _peaks([(2, 2, 2), (30, 30, 40)])
    assert choose(found, scores, PLAN, 1).position.tolist() == [[30, 30, 40]]
    np.testing.assert_array_equal(choose(found, scores, PLAN, 1, agree=False).probability, [np.nan, 1.0])
    assert choose(found, scores, PLAN, 2, agree=False).probability[1] == 0.0
    assert len(choose(found, scores, PLAN, 1, agree=False, minimum_probability=0.1)) == 1


def test_order_is_by_value_then_raster_then_class_whatever_comes_first():
    one = _picks([(5, 0, 0), (0, 9, 1), (0, 9, 0)], [1, 2, 2], [0, 0, 0])
    two = _picks([(0, 0, 0), (5, 0, 0)], [1, 1], [3, 1])
    for several in ([one, two], [two, one], [one.take(np.array([2, 0, 1])), two]):
        together = merge(several)
        assert together.position.tolist() == [[0, 9, 0], [0, 9, 1], [0, 0, 0], [5, 0, 0], [5, 0, 0]]
        assert together.label.tolist() == [0, 0, 3, 0, 1]
    assert len(merge([])) == 0


def test_blocks_merge_to_the_picks_of_the_whole():
    rng = np.random.default_rng(3)
    cam = rng.integers(0, 50, PLAN.shape).astype(np.float32)
    scores = rng.standard_normal((*PLAN.counts, 3))
    whole = pick(cam, scores, PLAN, 2, distance=2.5)
    parts = []
    for start in range(0, 40, 7):
        first = max(start - 2, 0)
        inner = [slice(start - first, start - first + 7), slice(None), slice(None)]
        found = peaks(cam[first : start + 9], distance=2.5, inner=inner, first=(first, 0, 0))
        parts.append(choose(found, scores, PLAN, 2))
    together = merge(parts[::-1])
    assert len(whole) > 50
    for name in ("position", "value", "label", "probability"):
        assert getattr(together, name).tobytes() == getattr(whole, name).tobytes()


def test_a_tensor_map_and_the_default_distance():
    cam = torch.zeros(PLAN.shape)
    cam[5, 5, 5], cam[5, 5, 7] = 2.0, 1.0
    scores = np.zeros((*PLAN.counts, 2))
    scores[..., 1] = 1.0
    assert default_distance(PLAN) == pytest.approx(8 / 3)
    assert pick(cam, scores, PLAN, 1).value.tolist() == [2.0]
    assert pick(cam, scores, PLAN, 1, distance=1.5).value.tolist() == [2.0, 1.0]
    assert pick(cam, scores, PLAN, 1, distance=1.5, above=1.0).value.tolist() == [2.0]
    assert len(pick(cam, scores, PLAN, 0)) == 0


def test_refusals():
    scores = np.zeros((*PLAN.counts, 2))
    found = _peaks([(2, 2, 2)])
    with pytest.raises(InputError, match="scores have the shape"):
        choose(found, scores[1:], PLAN, 0)
    for target in (-1, 2):
        with pytest.raises(InputError, match=f"target is {target}, expected a class from 0 to 1"):
            choose(found, scores, PLAN, target)
    for probability in (-0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match="minimum_probability"):
            choose(found, scores, PLAN, 0, minimum_probability=probability)
    with pytest.raises(InputError, match=r"expected the volume's \(40, 33, 47\)"):
        pick(np.zeros((40, 33, 46), np.float32), scores, PLAN, 0)
