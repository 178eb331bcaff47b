from itertools import combinations

import numpy as np
import pytest

from camfast.errors import InputError
from camfast.simulate import SHAPES, shape


def _invariants(density):
    """What no rotation changes: the mean over spheres about the centre, and the principal moments over the mass."""
    axis = np.arange(density.shape[0]) - (density.shape[0] - 1) / 2
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    radius = np.linalg.norm(points, axis=1).round().astype(int)
    profile = np.bincount(radius, density.ravel()) / np.bincount(radius)
    moments = np.linalg.eigvalsh((points * density.reshape(-1, 1)).T @ points) / density.sum()
    return profile, np.sqrt(moments)


def test_there_are_eight_or_more():
    assert len(SHAPES) >= 8


@pytest.mark.parametrize("name", SHAPES)
def test_each_is_centred_and_fits_in_eleven_voxels(name):
    density = shape(name, 33)
    assert density.dtype == np.float32
    assert (density.min(), density.max()) == (0.0, 1.0)
    position = np.argwhere(density > 0) - 16
    assert np.linalg.norm(position, axis=1).max() <= 11.0
    mass = density[density > 0][:, None]
    np.testing.assert_allclose((position * mass).sum(0) / mass.sum(), 0, atol=1e-4)


@pytest.mark.parametrize("name", SHAPES)
def test_the_smallest_box_holds_everything(name):
    assert shape(name, 24).sum() == pytest.approx(shape(name, 40).sum(), rel=1e-6)
    np.testing.assert_array_equal(shape(name, 40)[8:-8, 8:-8, 8:-8], shape(name, 24))


@pytest.mark.parametrize(("first", "second"), list(combinations(SHAPES, 2)))
def test_two_shapes_differ_whatever_their_orientation(first, second):
    (profile, moments), (other_profile, other_moments) = (_invariants(shape(name)) for name in (first, second))
    assert np.abs(profile - other_profile).max() > 0.1 or np.abs(moments - other_moments).max() > 1.0


def test_volumes_are_those_of_geometry():
    assert shape("ball", 33).sum() == pytest.approx(4 / 3 * np.pi * 6.5**3, rel=0.01)
    assert shape("shell", 33).sum() == pytest.approx(4 / 3 * np.pi * (9.5**3 - 6.5**3), rel=0.01)
    assert shape("ring", 33).sum() == pytest.approx(2 * np.pi**2 * 7.5 * 2.5**2, rel=0.02)
    assert shape("barrel", 33).sum() == pytest.approx(np.pi * (7**2 - 4**2) * 15, rel=0.02)
    assert shape("rod", 33).sum() == pytest.approx(np.pi * 2.5**2 * (16 + 4 / 3 * 2.5), rel=0.03)


def test_an_unknown_shape_names_those_that_are():
    with pytest.raises(InputError, match=r"unknown shape 'cube'; known are ball, barrel"):
        shape("cube")
