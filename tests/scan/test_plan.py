"""Windows cover every voxel, and their grids fall on one common grid."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camfast.errors import InputError
from camfast.scan.windows.plan import blend_weights, plan_windows, triple


@st.composite
def cases(draw):
    axes = []
    for _ in range(3):
        length = draw(st.integers(1, 23))
        window = draw(st.integers(1, length))
        axes.append((length, window, draw(st.integers(1, window))))
    return tuple(zip(*axes, strict=True))


@given(cases())
def test_every_voxel_lies_in_a_window_and_no_window_is_superfluous(case):
    shape, window, stride = case
    plan = plan_windows(shape, window, stride)
    covered = np.zeros(plan.padded, int)
    origins = [tuple(np.multiply(index, stride)) for index in np.ndindex(plan.counts)]
    for z, y, x in origins:
        assert all(o % s == 0 for o, s in zip((z, y, x), stride, strict=True))
        covered[z : z + window[0], y : y + window[1], x : x + window[2]] += 1
    assert covered.min() >= 1
    assert len(origins) == plan.windows
    for length, padded, w, s, count in zip(shape, plan.padded, window, stride, plan.counts, strict=True):
        assert length <= padded < length + s
        assert count == 1 or (count - 2) * s + w < length


def boxes(mask, seed):
    """A mask in boxes that don't fit the windows."""
    step = np.random.default_rng(seed).integers(1, 8, 3)
    for corner in itertools.product(*(range(0, n, s) for n, s in zip(mask.shape, step, strict=True))):
        box = tuple(slice(c, min(c + s, n)) for c, s, n in zip(corner, step, mask.shape, strict=True))
        yield box, mask[box]


@given(cases(), st.integers(0, 2**31))
def test_central_regions_tile_the_volume(case, seed):
    shape, window, stride = case
    plan = plan_windows(shape, window, stride)
    voxel = tuple(np.random.default_rng(seed).integers(shape))
    mask = np.zeros(shape, bool)
    mask[voxel] = True
    touching = plan.touching(boxes(mask, seed))
    assert touching.shape == plan.counts
    assert touching.sum() == 1
    (index,) = np.argwhere(touching)
    for at, i, w, s, length, count in zip(voxel, index, window, stride, shape, plan.counts, strict=True):
        first = i * s + (w - s) // 2
        assert i == 0 or at >= first
        assert at < first + s or all((j * s + (w - s) // 2) >= length for j in range(i + 1, count))


def test_a_full_mask_touches_every_window_with_a_voxel_of_its_own():
    plan = plan_windows((20, 20, 20), 8, 4)
    assert plan.touching(boxes(np.ones((20, 20, 20), bool), 0)).all()


@pytest.mark.parametrize(
    ("shape", "window", "stride", "says"),
    [
        ((20, 9, 20), 10, 5, r"window of 10 voxels is larger than the volume with its 9 along y"),
        ((20, 20, 20), 8, 9, r"stride of 9 voxels along z is larger than the window of 8"),
        ((20, 20, 20), (8, 8), 4, r"window is \(8, 8\), expected"),
        ((20, 20, 20), 8, 0, r"stride is 0, expected a positive whole number"),
        ((20, 20, 20), 8.5, 4, r"window is 8.5, expected"),
    ],
)
def test_what_does_not_fit_is_refused(shape, window, stride, says):
    with pytest.raises(InputError, match=says):
        plan_windows(shape, window, stride)


SAID = [
    (
        lambda: plan_windows((20, 9, 20), (8, 10, 8), 5),
        "the window of 10 voxels is larger than the volume with its 9 along y (shape (20, 9, 20)); choose a smaller "
        "window that the network accepts, or a larger volume",
    ),
    (
        lambda: plan_windows((20, 20, 20), 8, (8, 8, 9)),
        "the stride of 9 voxels along x is larger than the window of 8, so voxels between windows would be left out; "
        "choose a stride of at most the window",
    ),
    (
        lambda: plan_windows((20, 20), 8, 4),
        "shape is (20, 20), expected a positive whole number, or three of them for z, y, x",
    ),
    (
        lambda: plan_windows((20, 20, 20), (8, 8, -1), 4),
        "window is (8, 8, -1), expected a positive whole number, or three of them for z, y, x",
    ),
    (
        lambda: plan_windows((20, 20, 20), 8, (4, 4, 2.0)),
        "stride is (4, 4, 2.0), expected a positive whole number, or three of them for z, y, x",
    ),
    (lambda: blend_weights((2, 2, 2), "median"), "blend is 'median', expected one of center, mean, sum, max"),
]


@pytest.mark.parametrize(("call", "text"), SAID)
def test_every_word(call, text):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == text


def test_windows_by_hand():
    plan = plan_windows((10, 9, 8), (4, 3, 8), (3, 3, 1))
    assert (plan.shape, plan.window, plan.stride) == ((10, 9, 8), (4, 3, 8), (3, 3, 1))
    assert (plan.counts, plan.windows, plan.padded) == ((3, 3, 1), 9, (10, 9, 8))
    assert type(plan.windows) is int
    assert plan_windows((11, 10, 9), (4, 3, 8), (3, 3, 1)).padded == (13, 12, 9)
    marked = np.zeros((10, 9, 8), bool)
    marked[5, 3, 0] = marked[6, 3, 7] = True  # on both sides of where the last window's centre begins
    found = plan.touching([((slice(0, 10), slice(0, 9), slice(0, 8)), marked)])
    assert np.argwhere(found).tolist() == [[1, 1, 0], [2, 1, 0]]
    assert found.dtype == bool
    assert not plan.touching([]).any()


def test_the_taper_by_hand():
    s = np.sin(np.pi / 6) ** 2
    np.testing.assert_allclose(blend_weights((3, 1, 2), "center")[:, 0, 0], [s / 2, 0.5, s / 2], rtol=1e-12)
    np.testing.assert_allclose(blend_weights((1, 3), "center"), [[s, 1, s]], rtol=1e-12)


def test_numpy_integers_are_numbers():
    assert triple(np.int64(4), "window") == (4, 4, 4)
    assert triple(np.array([4, 5, 6]), "window") == (4, 5, 6)
    assert triple(1, "window") == (1, 1, 1)
    assert {type(number) for number in triple(np.array([4, 5, 6]), "window")} == {int}


@pytest.mark.parametrize("grid", [(1, 1, 1), (2, 3, 4), (10, 10, 10)])
def test_the_taper_is_largest_at_the_centre_symmetric_and_nowhere_0(grid):
    weights = blend_weights(grid, "center")
    assert weights.min() > 0
    assert weights.max() <= 1
    middle = tuple(slice((n - 1) // 2, n // 2 + 1) for n in grid)
    np.testing.assert_allclose(weights[middle], weights.max())
    np.testing.assert_allclose(weights, weights[::-1, ::-1, ::-1], rtol=1e-12)
    for axis, n in enumerate(grid):
        along = np.moveaxis(weights, axis, 0)[: (n + 1) // 2]
        assert (np.diff(along, axis=0) > 0).all()


@pytest.mark.parametrize("blend", ["mean", "sum", "max"])
def test_other_blends_weigh_cells_equally(blend):
    assert (blend_weights((2, 3, 4), blend) == 1).all()


def test_an_unknown_blend_is_refused():
    with pytest.raises(InputError, match="blend is 'median', expected one of center, mean, sum, max"):
        blend_weights((2, 2, 2), "median")
