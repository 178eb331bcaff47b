"""Maps of windows added up: against loops over cells, the same bits for any layout, calls and threads."""

import itertools
import math

import numpy as np
import pytest
import torch

from camfast import ops
from camfast.ops import dispatch

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
SHAPES = (
    ((9, 8, 7), (3, 4, 5)),
    ((1, 3, 300), (1, 2, 257)),
    ((6, 5), (6, 1)),
    ((130,), (63,)),
    ((5, 5, 5), (1, 1, 1)),
)


def case(grid, window, *, windows=7, targets=3, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    total = torch.randn(targets, *grid, generator=generator, dtype=torch.float64)
    maps = torch.randn(windows, targets, *window, generator=generator).to(dtype)
    taper = torch.rand(window, generator=generator, dtype=torch.float64)
    last = [g - h + 1 for g, h in zip(grid, window, strict=True)]
    origins = torch.stack([torch.randint(0, n, (windows,), generator=generator) for n in last], 1)
    return total, maps, origins, taper


def by_cells(total, maps, origins, taper, blend):
    """Every number by itself, by Python's floats."""
    found = total.numpy().copy()
    for n, origin in enumerate(origins.tolist()):
        for t, *index in itertools.product(range(maps.shape[1]), *map(range, taper.shape)):
            cell = (t, *(o + i for o, i in zip(origin, index, strict=True)))
            value = float(maps[(n, t, *index)])
            if blend == "mean":
                found[cell] += float(taper[tuple(index)]) * value
            elif value > found[cell] or (math.isnan(value) and not math.isnan(found[cell])):
                found[cell] = value
    return torch.from_numpy(found)


@pytest.mark.parametrize("backend", [None, "torch"])
@pytest.mark.parametrize("blend", ["mean", "max"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("grid", "window"), SHAPES, ids=str)
def test_it_is_the_loop_over_cells_to_the_bit(grid, window, dtype, blend, backend):
    arguments = case(grid, window, dtype=dtype)
    expected = by_cells(*arguments, blend)
    assert torch.equal(ops.window_sum(*arguments, blend=blend, backend=backend), expected)


@pytest.mark.parametrize("blend", ["mean", "max"])
def test_in_place_and_apart(blend):
    total, maps, origins, taper = case((9, 8, 7), (3, 4, 5))
    before, expected = total.clone(), ops.window_sum(total, maps, origins, taper, blend=blend)
    assert torch.equal(total, before)
    out = torch.full_like(total, torch.nan)
    assert ops.window_sum(total, maps, origins, taper, blend=blend, out=out) is out
    assert torch.equal(out, expected)
    assert ops.window_sum(total, maps, origins.int(), taper, blend=blend, out=total) is total
    assert torch.equal(total, expected)


@pytest.mark.parametrize("blend", ["mean", "max"])
def test_calls_that_follow_each_other_are_one(blend):
    total, maps, origins, taper = case((20, 18, 17), (6, 6, 6), windows=40)
    expected = ops.window_sum(total, maps, origins, taper, blend=blend)
    for first in range(0, 40, 7):
        part = slice(first, first + 7)
        ops.window_sum(total, maps[part], origins[part], taper, blend=blend, out=total)
    assert torch.equal(total, expected)


def test_any_number_of_threads_gives_the_same_bits():
    arguments = case((64, 64, 64), (20, 20, 20), windows=50, targets=2)
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            found.append(ops.window_sum(*arguments))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_layouts():
    total, maps, origins, taper = case((9, 8, 7), (3, 4, 5))
    expected = ops.window_sum(total, maps, origins, taper)
    wide = torch.empty(7, 3, 3, 4, 10)[..., ::2].copy_(maps)
    assert torch.equal(ops.window_sum(total, wide, origins, taper), expected)
    turned = maps.permute(2, 3, 4, 0, 1).contiguous().permute(3, 4, 0, 1, 2)
    assert torch.equal(ops.window_sum(total, turned, origins.t().contiguous().t(), taper), expected)
    negative = torch._neg_view(-maps)
    assert torch.equal(ops.window_sum(total, negative, origins, taper), expected)
    room = torch.zeros(3, 10, 8, 7, dtype=torch.float64)
    room[:, 1:] = total
    assert torch.equal(ops.window_sum(room[:, 1:], maps, origins, taper), expected)


def test_nan_stays_under_a_taper_of_0_too():
    total, maps, origins, taper = case((6, 6), (3, 3), windows=1, targets=1)
    maps[0, 0, 1, 1], taper[1, 1] = torch.nan, 0.0
    cell = (0, *(origins[0] + 1).tolist())
    for blend in ("mean", "max"):
        found = ops.window_sum(total, maps, origins, taper, blend=blend)
        assert found.isnan().sum() == 1
        assert found[cell].isnan()
    total[cell] = torch.nan
    maps[0, 0, 1, 1] = 1e30
    assert ops.window_sum(total, maps, origins, taper, blend="max")[cell].isnan()


def test_nothing_to_add():
    total, maps, origins, taper = case((6, 6), (3, 3))
    assert torch.equal(ops.window_sum(total, maps[:0], origins[:0], taper), total)
    assert ops.window_sum(total[:0], maps[:, :0], origins, taper).shape == (0, 6, 6)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"total": torch.zeros(2, 6, 6)}, TypeError, "total must be torch.float64"),
        ({"total": torch.zeros(6, dtype=torch.float64)}, ValueError, "one to three spatial axes"),
        ({"taper": torch.zeros(3, 3)}, TypeError, "taper must be torch.float64"),
        ({"taper": torch.zeros(3, 2, dtype=torch.float64)}, ValueError, "taper must have the shape of a window"),
        ({"maps": torch.zeros(4, 3, 3, 3)}, ValueError, "with T=2"),
        ({"maps": torch.zeros(4, 2, 3, 3, dtype=torch.int32)}, TypeError, "maps must be one of"),
        ({"origins": torch.zeros(4, 2)}, TypeError, "origins must be an int64 or int32 tensor"),
        ({"origins": torch.zeros(4, 3, dtype=torch.int64)}, ValueError, "a cell of 2 axes"),
        ({"origins": torch.full((4, 2), 4)}, ValueError, "window 0 starts at cell 4 of axis 0"),
        ({"origins": torch.full((4, 2), -1)}, ValueError, "must lie wholly inside the grid"),
        ({"blend": "sum"}, ValueError, "blend must be one of mean, max"),
        ({"out": torch.zeros(2, 6, 5, dtype=torch.float64)}, ValueError, "out must have the shape"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, says):
    total, maps, origins, taper = case((6, 6), (3, 3), windows=4, targets=2)
    given = {"total": total, "maps": maps, "origins": origins, "taper": taper, **change}
    with pytest.raises(error, match=says):
        ops.window_sum(**given)


@pytest.mark.parametrize("backend", [None, "torch"])
@pytest.mark.parametrize(("first", "says"), [(-3, "cell -3"), (9, "cell 9"), (4, "cells 0 to 3")])
def test_windows_outside_are_refused_by_every_backend(first, says, backend):
    total, maps, _, taper = case((6,), (3,), windows=1, targets=1)
    for _ in range(2):  # a call like an earlier one isn't checked again in Python
        with pytest.raises(ValueError, match=says):
            ops.window_sum(total, maps, torch.tensor([[first]]), taper, backend=backend)


def test_an_output_that_overlaps_is_refused():
    _, maps, origins, taper = case((6, 6), (3, 3), windows=4, targets=2)
    room = torch.zeros(3, 6, 6, dtype=torch.float64)
    with pytest.raises(ValueError, match="shares memory"):
        ops.window_sum(room[:2], maps, origins, taper, out=room[1:])


def test_a_backend_without_a_kernel_says_so():
    assert dispatch.backends("window_sum", "cuda")["cuda"] == "has no kernel for this op"


def test_it_is_known_to_torch():
    arguments = case((6, 6), (3, 3), windows=4, targets=2)
    torch.library.opcheck(torch.ops.camfast.window_sum, (*arguments, "mean"))
    np.testing.assert_array_equal(
        torch.ops.camfast.window_sum(*arguments, "max").numpy(), ops.window_sum(*arguments, blend="max").numpy()
    )
