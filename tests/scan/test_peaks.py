"""Local maxima: the definition, voxel by voxel; blocks with a halo give what the whole gives."""

import itertools
import math

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.scan.picking import peaks as module
from camfast.scan.picking.peaks import halo, peaks


def _by_definition(cam, distance, above):
    """Every voxel against every other one: slow, and nothing of it is in the code that it tests."""
    places = np.argwhere(np.ones(cam.shape, bool))
    flat = cam.ravel().astype(np.float64)
    found, centres = [], []
    for number, place in enumerate(places):
        ball = np.sqrt(((places - place) ** 2).sum(axis=1)) <= distance
        rivals = np.flatnonzero(ball & (flat >= flat[number]))
        if flat[number] > above and rivals[0] == number and (flat[rivals[1:]] == flat[number]).all():
            weight = np.where(ball, np.clip(flat - flat[number] / 2, 0, None), 0)
            found.append(place)
            centres.append(weight @ places / weight.sum() if weight.any() else place)
    return np.array(found, int).reshape(-1, 3), np.array(centres, float).reshape(-1, 3)


def _maps():
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.add.outer(np.sin(np.arange(9) * 1.3), np.cos(np.arange(8.0))), np.sin(np.arange(11) * 0.9))
    yield "noise", rng.standard_normal((9, 8, 11)).astype(np.float32)
    yield "few values, many ties", rng.integers(0, 3, (9, 8, 11)).astype(np.float32)
    yield "smooth", smooth
    yield "constant", np.ones((9, 8, 11), np.float32)
    steps = np.zeros((9, 8, 11), np.float32)
    steps[2:7, 1:5, 3:9], steps[5:, 5:, :4] = 2.0, 1.0
    yield "plateaus", steps
    yield "negative", -np.abs(rng.standard_normal((9, 8, 11))) - 1
    yield "thin", rng.standard_normal((1, 7, 1)).astype(np.float32)


MAPS = dict(_maps())


@pytest.mark.parametrize("distance", [0.5, 1, 1.5, math.sqrt(3), 2, math.nextafter(2 * math.sqrt(3), 0), 3.7, 20])
@pytest.mark.parametrize("name", MAPS)
def test_is_the_definition(name, distance):
    cam = MAPS[name]
    above = -np.inf if name == "negative" else 0.0
    found = peaks(cam, distance=distance, above=above)
    places, centres = _by_definition(cam, distance, above)
    assert name in ("negative", "thin") or len(places) > 0
    np.testing.assert_array_equal(found.position, places)
    np.testing.assert_array_equal(found.value, cam[tuple(places.T)])
    # sums of up to 800 products in float64, in another order
    np.testing.assert_allclose(found.centre, centres, rtol=0, atol=1e-11)


def _blockwise(cam, distance, size, more=0):
    reach = halo(distance) + more
    parts = []
    for corner in itertools.product(*(range(0, n, s) for n, s in zip(cam.shape, size, strict=True))):
        ends = [min(c + s, n) for c, s, n in zip(corner, size, cam.shape, strict=True)]
        first = [max(c - reach, 0) for c in corner]
        block = cam[tuple(slice(f, e + reach) for f, e in zip(first, ends, strict=True))]
        inner = [slice(c - f, e - f) for c, e, f in zip(corner, ends, first, strict=True)]
        parts.append(peaks(block, distance=distance, inner=inner, first=first))
    together = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    order = np.lexsort(together[0].T[::-1])
    return [column[order] for column in together]


@pytest.mark.parametrize("size", [(1, 1, 1), (4, 4, 4), (5, 3, 7), (9, 1, 11), (2, 8, 3), (50, 50, 50)])
@pytest.mark.parametrize("name", ["noise", "few values, many ties", "constant", "plateaus", "smooth", "thin"])
@pytest.mark.parametrize("distance", [1, 2.5, 4])
def test_blocks_give_the_bits_of_the_whole(name, distance, size):
    cam = MAPS[name]
    whole = peaks(cam, distance=distance)
    for one, other in zip(_blockwise(cam, distance, size), whole, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_larger_halo_changes_nothing():
    cam = MAPS["few values, many ties"]
    for one, other in zip(_blockwise(cam, 2.5, (4, 4, 4), more=2), peaks(cam, distance=2.5), strict=True):
        assert one.tobytes() == other.tobytes()


def test_too_small_a_halo_would_show():
    cam = MAPS["noise"]
    assert len(_blockwise(cam, 2.5, (4, 4, 4), more=-1)[0]) > len(peaks(cam, distance=2.5).value)


def test_the_number_of_balls_at_a_time_does_not_matter(monkeypatch):
    whole = peaks(MAPS["noise"], distance=2.5)
    monkeypatch.setattr(module, "CHUNK", 1)
    for one, other in zip(peaks(MAPS["noise"], distance=2.5), whole, strict=True):
        assert one.tobytes() == other.tobytes()


def test_random_blocks_of_a_larger_map():
    rng = np.random.default_rng(5)
    cam = rng.standard_normal((40, 33, 47)).astype(np.float32)
    for _ in range(5):
        distance, size = rng.uniform(1, 6), rng.integers(3, 30, 3)
        for one, other in zip(_blockwise(cam, distance, size), peaks(cam, distance=distance), strict=True):
            assert one.tobytes() == other.tobytes()


def test_peaks_are_farther_apart_than_the_distance():
    found = peaks(np.random.default_rng(1).standard_normal((30, 30, 30)), distance=4).position
    apart = np.linalg.norm(found[:, None] - found, axis=2)[~np.eye(len(found), dtype=bool)]
    assert apart.min() > 4
    assert len(found) > 20


def test_the_threshold_itself_is_left_out():
    cam = np.zeros((3, 3, 9), np.float32)
    cam[1, 1, 1], cam[1, 1, 7] = 1.0, 2.0
    assert peaks(cam, distance=2, above=1.0).position.tolist() == [[1, 1, 7]]
    assert len(peaks(cam, distance=2, above=2.0).value) == 0


def test_centre_of_a_blob_between_voxels():
    z, y, x = np.meshgrid(*(np.arange(25.0),) * 3, indexing="ij")
    truth = np.array([11.3, 12.4, 12.8])
    cam = np.exp(-((z - truth[0]) ** 2 + (y - truth[1]) ** 2 + (x - truth[2]) ** 2) / (2 * 2.0**2))
    found = peaks(cam, distance=6)
    assert found.position.tolist() == [[11, 12, 13]]
    # half maximum is 2.4 voxels away: a ball about the nearest voxel holds all that counts
    np.testing.assert_allclose(found.centre[0], truth, atol=0.05)


def test_the_map_is_left_as_it_is_and_views_will_do():
    cam = np.random.default_rng(2).standard_normal((12, 10, 14)).astype(np.float32)
    cam.flags.writeable = False
    turned = cam.transpose(2, 0, 1)
    np.testing.assert_array_equal(
        peaks(turned, distance=2).position, peaks(np.ascontiguousarray(turned), distance=2).position
    )


def test_half_precision_and_nothing_inside():
    cam = MAPS["noise"].astype(np.float16)
    assert peaks(cam, distance=2).value.dtype == np.float16
    assert len(peaks(cam, distance=2, inner=[slice(3, 3), slice(0, 8), slice(0, 11)]).value) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_with_its_place(bad):
    cam = np.zeros((4, 5, 6), np.float32)
    cam[1, 2, 3] = bad
    with pytest.raises(InputError, match=rf"{bad} at voxel \(z, y, x\) = \(11, 22, 33\)"):
        peaks(cam, distance=1, first=(10, 20, 30))


@pytest.mark.parametrize(
    ("cam", "options", "message"),
    [
        (np.zeros((2, 4, 4, 4)), {"distance": 2}, r"\(2, 4, 4, 4\), expected \(z, y, x\)"),
        (np.zeros((4, 4, 4), int), {"distance": 2}, "int64, expected floating point"),
        (np.zeros((4, 4, 4)), {"distance": 0}, "distance is 0, expected a positive number"),
        (np.zeros((4, 4, 4)), {"distance": np.inf}, "distance is inf"),
        (np.zeros((4, 4, 4)), {"distance": 2, "above": np.nan}, "above is NaN"),
        (np.zeros((4, 4, 4)), {"distance": 2, "inner": [slice(0, 4, 2)] * 3}, "slices of step 1"),
    ],
)
def test_refusals(cam, options, message):
    with pytest.raises(InputError, match=message):
        peaks(cam, **options)
