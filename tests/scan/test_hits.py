"""Counting particles that a map finds."""

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.scan.picking.hits import hits
from camfast.scan.showing.report import ClassHits, count_hits, together

SHAPE = (20, 20, 20)


def test_a_top_value_counts_within_the_radius_and_not_beyond():
    cam = np.random.default_rng(0).uniform(0, 1, SHAPE)
    cam[10, 10, 10] = 5
    cam[0, 0, 0] = 5
    cam[cam < 5] *= 1e-3
    near = [(10, 10, 12), (10, 10, 12.1), (9, 9, 9), (8, 9, 10), (0.5, 0.5, 0.5), (10, 8.6, 8.6)]
    assert hits(cam, near, fraction=2 / cam.size).tolist() == [True, False, True, False, True, True]


def test_agrees_with_a_search_of_all_voxels():
    rng = np.random.default_rng(1)
    cam = rng.normal(size=SHAPE)
    centres = rng.uniform(0, 19, (50, 3))
    top = np.argwhere(cam > np.sort(cam.ravel())[-int(0.02 * cam.size) - 1])
    expected = [bool((np.linalg.norm(top - centre, axis=1) <= 2.0).any()) for centre in centres]
    assert 5 < sum(expected) < 45
    assert hits(cam, centres, fraction=0.02).tolist() == expected


def test_a_map_of_zeros_hits_nothing():
    assert not hits(np.zeros(SHAPE), [(5, 5, 5)]).any()


def test_no_positions():
    assert hits(np.zeros(SHAPE), []).shape == (0,)


def test_a_position_outside_is_refused():
    with pytest.raises(InputError, match=r"outside the map of shape \(20, 20, 20\)"):
        hits(np.zeros(SHAPE), [(5, 5, 20)])


def test_counts_by_class():
    cam = np.zeros(SHAPE)
    cam[4, 4, 4] = cam[15, 15, 15] = 1
    counts = count_hits(cam, {"ring": [(4, 4, 4), (4, 15, 4)], "rod": [(15, 15, 15)], "ball": []})
    assert counts == [ClassHits("ring", 2, 1), ClassHits("rod", 1, 1), ClassHits("ball", 0, 0)]
    assert [count.percent for count in counts] == [50.0, 100.0, 0.0]
    assert together(counts, "all") == ClassHits("all", 3, 2)
