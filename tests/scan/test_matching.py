"""Picks beside the truth."""

import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from camfast.errors import InputError
from camfast.scan.picking.matching import Match, match, pair
from camfast.scan.picking.picks import Picks


def test_each_particle_once_and_the_best_pick_first():
    centres = [(0, 0, 0), (0, 0, 10)]
    assert pair([(0, 0, 1), (0, 0, 0), (0, 0, 9), (5, 5, 5)], centres, 2).tolist() == [0, -1, 1, -1]
    assert pair([(0, 0, 2), (0, 0, 2.1)], centres, 2).tolist() == [0, -1]
    assert pair([], centres, 2).tolist() == []
    assert pair([(0, 0, 0)], [], 2).tolist() == [-1]


def test_agrees_with_the_best_assignment_where_particles_are_two_radii_apart():
    rng = np.random.default_rng(0)
    centres = np.stack(np.meshgrid(*(np.arange(5) * 10.0,) * 3), axis=-1).reshape(-1, 3)[:80]
    position = rng.uniform(-3, 43, (400, 3))
    near = np.linalg.norm(position[:, None] - centres, axis=2) <= 4.9
    rows, columns = linear_sum_assignment(-near.astype(float))
    found = pair(position, centres, 4.9)
    assert 30 < near.any(axis=0).sum() < 80
    assert (found >= 0).sum() == near[rows, columns].sum()
    taken = found[found >= 0]
    assert len(set(taken.tolist())) == len(taken)
    assert near[found >= 0, taken].all()


def test_by_class():
    picks = Picks(
        np.array([(0, 0, 0), (0, 0, 5), (9, 9, 9), (0, 0, 1)], float),
        np.array([4, 3, 2, 1], np.float32),
        np.array([0, 1, 0, 0]),
        np.ones(4, np.float32),
    )
    counts = match(picks, {0: [(0, 0, 0), (4, 4, 4)], 1: [(0, 0, 8)], 2: [], 3: [(1, 1, 1)]}, {0: 2, 1: 3, 2: 1, 3: 9})
    assert counts == {0: Match(1, 3, 2), 1: Match(1, 1, 1), 2: Match(0, 0, 0), 3: Match(0, 0, 1)}
    assert match(picks, {1: [(0, 0, 8)]}, 2.9) == {1: Match(0, 1, 1)}


def test_precision_recall_and_f1():
    assert (Match(3, 4, 6).precision, Match(3, 4, 6).recall, Match(3, 4, 6).f1) == (0.75, 0.5, 0.6)
    assert Match(3, 4, 6) + Match(1, 1, 1) == Match(4, 5, 7)
    assert (Match(0, 0, 5).recall, Match(0, 0, 5).f1, Match(0, 5, 0).precision) == (0, 0, 0)
    nothing = Match(0, 0, 0)
    assert all(math.isnan(value) for value in (nothing.precision, nothing.recall, nothing.f1))


def test_a_radius_is_positive():
    with pytest.raises(InputError, match="radius is 0"):
        pair([(0, 0, 0)], [(0, 0, 0)], 0)
