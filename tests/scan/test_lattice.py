"""Cells of windows lie on one lattice, and bricks and tiles cut windows and cells without gaps."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camfast.errors import InputError
from camfast.scan.windows.bricks import blocks_of, bricks_of, grown, planes_of, relative, tile_of
from camfast.scan.windows.lattice import lattice_of
from camfast.scan.windows.plan import plan_windows


def test_cells_tile_the_window():
    plan = plan_windows((40, 40, 40), (40, 20, 16), (8, 4, 8))
    lattice = lattice_of(plan, (10, 5, 2))
    assert (lattice.cell, lattice.gap, lattice.shape) == ((4, 4, 8), (0, 0, 0), (10, 10, 5))


def test_valid_convolutions_leave_a_gap():
    plan = plan_windows((40, 40, 44), 20, 4)
    lattice = lattice_of(plan, (16, 8, 20), [(2.0, 1.0), (2.5, 2.0), (0.0, 1.0)])
    assert (lattice.cell, lattice.gap) == ((1, 2, 1), (2, 2, 0))
    assert lattice.shape == (36, 18, 44)
    assert lattice.first_cell((8, 8, 8)) == (8, 4, 8)


def test_what_the_centres_say_goes_before_what_the_sizes_would():
    """12 voxels through a valid 5³ convolution and a pooling of 2: 4 cells of 2 voxels, not of 3."""
    plan = plan_windows((24, 24, 24), 12, 6)
    assert lattice_of(plan, (4, 4, 4), [(2.5, 2.0)] * 3).cell == (2, 2, 2)
    assert lattice_of(plan, (4, 4, 4)).cell == (3, 3, 3)


@pytest.mark.parametrize(
    ("grid", "stride", "centres", "says"),
    [
        ((11, 10, 10), 8, None, r"11 cells along z for a window of 40"),
        ((10, 10, 10), (8, 8, 6), None, r"stride of 6 voxels along x .* cell of 4 voxels; choose 4 or 8"),
        ((5, 5, 5), 20, None, r"choose 16 or 24"),
        ((1, 10, 10), 20, None, r"stride of 20 voxels along z .* choose 40"),
        ((10, 10), 8, None, r"2 spatial axes"),
        ((9, 10, 10), 8, [(1.0, 4.0), (1.5, 4.0), (1.5, 4.0)], r"4 voxels apart and the first centred at voxel 1"),
        ((12, 10, 10), 8, [(1.5, 4.0)] * 3, r"12 cells along z for a window of 40"),
    ],
)
def test_grids_that_cannot_be_joined_are_refused(grid, stride, centres, says):
    with pytest.raises(InputError, match=says):
        lattice_of(plan_windows((48, 48, 48), 40, stride), grid, centres)


ANOTHER = "choose a window that the network's pooling divides evenly, or another layer"


@pytest.mark.parametrize(
    ("grid", "stride", "centres", "text"),
    [
        (
            (10, 11, 10), 8, None,
            "the layer has 11 cells along y for a window of 40 voxels, no whole number of voxels a cell; " + ANOTHER,
        ),
        (
            (10, 10, 10), (8, 6, 8), None,
            "the stride of 6 voxels along y is no multiple of the layer's cell of 4 voxels; choose 4 or 8",
        ),
        (
            (10, 10, 20), (8, 8, 1), None,
            "the stride of 1 voxels along x is no multiple of the layer's cell of 2 voxels; choose 2",
        ),
        (
            (10, 10, 1), (40, 40, 39), None,
            "the stride of 39 voxels along x is no multiple of the layer's cell of 40 voxels; choose 40",
        ),
        ((10, 10), 8, None, "the layer's map has 2 spatial axes, expected 3; explain a layer of a 3-D network"),
        (
            (9, 10, 10), 8, [(1.0, 4.0), (1.5, 4.0), (1.5, 4.0)],
            "the layer has 9 cells along z for a window of 40 voxels, 4 voxels apart and the first centred at voxel 1, "
            "so they do not tile the window or its inner part; " + ANOTHER,
        ),
        (
            (9, 10, 10), 8, [(0.5, 4.0), (1.5, 4.0), (1.5, 4.0)],
            "the layer has 9 cells along z for a window of 40 voxels, 4 voxels apart and the first centred at voxel "
            "0.5, so they do not tile the window or its inner part; " + ANOTHER,
        ),
        (
            (9, 10, 10), 8, [(6.5, 4.0), (1.5, 4.0), (1.5, 4.0)],
            "the layer has 9 cells along z for a window of 40 voxels, 4 voxels apart and the first centred at voxel "
            "6.5, so they do not tile the window or its inner part; " + ANOTHER,
        ),
        (
            (9, 10, 10), 8, [(2.25, 2.5), (1.5, 4.0), (1.5, 4.0)],
            "the layer has 9 cells along z for a window of 40 voxels, 2.5 voxels apart and the first centred at voxel "
            "2.25, so they do not tile the window or its inner part; " + ANOTHER,
        ),
    ],
)  # fmt: skip
def test_every_word(grid, stride, centres, text):
    with pytest.raises(InputError) as caught:
        lattice_of(plan_windows((48, 48, 48), 40, stride), grid, centres)
    assert str(caught.value) == text


def test_cells_at_either_end_of_a_window():
    plan = plan_windows((48, 48, 48), 40, 8)
    lattice = lattice_of(plan, (9, 9, 9), [(1.5, 4.0), (5.5, 4.0), (3.5, 4.0)])
    assert (lattice.cell, lattice.gap, lattice.window) == ((4, 4, 4), (0, 4, 2), (9, 9, 9))
    assert {type(number) for number in (*lattice.cell, *lattice.gap)} == {int}
    assert lattice.shape == (11, 11, 11)
    assert lattice.first_cell((0, 8, 16)) == (0, 2, 4)
    for short in ((0, 8), (0, 8, 16, 24)):
        with pytest.raises(ValueError, match=r"zip\(\)"):
            lattice.first_cell(short)
    with pytest.raises(ValueError, match=r"zip\(\)"):
        lattice_of(plan, (9, 9, 9), [(1.5, 4.0)] * 4)
    assert lattice_of(plan, (1, 1, 1), [(19.5, 8.0)] * 3).gap == (16, 16, 16)


@given(st.tuples(*[st.integers(8, 40)] * 3), st.integers(1, 4), st.integers(4, 64))
def test_every_window_is_in_one_brick(shape, cells, voxels):
    plan = plan_windows(shape, 8, 2 * cells)
    bricks = bricks_of(lattice_of(plan, (4, 4, 4)), voxels)
    found = np.zeros(plan.counts, int)
    for number, brick in enumerate(bricks):
        assert brick.number == number
        found[brick.windows] += 1
        assert len(brick.origins) == np.prod(brick.counts)
        ends = brick.origins.max(0) + plan.window
        assert tuple(ends) == brick.hull
        assert all(c.stop - c.start == h // 2 for c, h in zip(brick.cells, brick.hull, strict=True))
    assert (found == 1).all()


@given(st.tuples(*[st.integers(1, 30)] * 3), st.tuples(*[st.integers(0, 6)] * 3), st.integers(1, 4000))
def test_tiles_fit_and_cost_least(cells, halo, most):
    tile = tile_of(cells, halo, most)
    splits = [{-(-n // k) for k in range(1, n + 1)} for n in cells]
    fitting = [
        one for one in itertools.product(*splits) if np.prod([n + h for n, h in zip(one, halo, strict=True)]) <= most
    ]

    def cost(one):
        count = np.prod([-(-n // t) for n, t in zip(cells, one, strict=True)])
        return count * np.prod([t + h for t, h in zip(one, halo, strict=True)])

    assert tile == (1, 1, 1) if not fitting else cost(tile) == min(map(cost, fitting))


def test_regions():
    blocks = blocks_of((5, 4, 3), (2, 4, 2))
    assert len(blocks) == 6
    assert sum(np.zeros((5, 4, 3))[block].size for block in blocks) == 60
    region = (slice(2, 4), slice(0, 4), slice(1, 3))
    assert grown(region, 2, (5, 5, 9)) == (slice(0, 5), slice(0, 5), slice(0, 5))
    assert relative(region, (slice(1, 5), slice(0, 5), slice(1, 9))) == (slice(1, 3), slice(0, 4), slice(0, 2))
    assert [z for z, _, _ in planes_of(region, 1)] == [slice(2, 3), slice(3, 4)]
