"""`running_max` against the reference, which compares exactly."""

import math

import pytest
import torch
from torch import Tensor

from camfast import ops
from camfast.ops import reference
from camfast.ops.forms import RunningMax
from tests.ops import cases

SHAPES = [(1,), (3,), (2, 1), (1, 7), (3, 63), (2, 64), (1, 257), (2, 5, 9), (2, 3, 16, 17), (5, 300, 301)]


def _problem(
    shape: tuple[int, ...], dtype: torch.dtype, layout: str = "contiguous"
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values with ties, NaN and infinities on both sides."""
    values = torch.randint(-3, 4, shape).to(reference.map_dtype(dtype))
    candidate = torch.randint(-3, 4, shape).to(dtype)
    for tensor in (values, candidate):
        for special in (math.nan, math.inf, -math.inf):
            tensor[torch.rand(shape) < 0.05] = special
    index = torch.randint(-(2**31), 2**31, shape, dtype=torch.int32)
    unit = torch.randint(-(2**31), 2**31, shape[:1], dtype=torch.int64)
    return (*(cases.laid_out(tensor, layout) for tensor in (values, index, candidate)), unit)


def _equal(found: RunningMax, expected: RunningMax) -> bool:
    return torch.equal(found.index, expected.index) and torch.equal(
        found.values.nan_to_num(nan=77.0), expected.values.nan_to_num(nan=77.0)
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_equals_the_reference(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    values, index, candidate, units = _problem(shape, dtype)
    for unit in (5, -(2**31), units, units[0], torch.arange(shape[0], dtype=torch.int32)):
        expected = reference.running_max(values, index, candidate, unit)
        out = (cases.poisoned(shape, values.dtype), torch.full(shape, 99, dtype=torch.int32))
        found = ops.running_max(values, index, candidate, unit, out=out)
        assert found.values is out[0]
        assert found.index is out[1]
        assert _equal(found, expected)
        assert _equal(ops.running_max(values, index, candidate, unit), expected)


@pytest.mark.parametrize("layout", cases.LAYOUTS)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_any_layout_is_read(layout: str, dtype: torch.dtype) -> None:
    values, index, candidate, units = _problem((3, 4, 5, 17), dtype, layout)
    expected = reference.running_max(values, index, candidate, units)
    assert _equal(ops.running_max(values, index, candidate, units), expected)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
def test_in_place_and_into_slices(dtype: torch.dtype) -> None:
    values, index, candidate, units = _problem((4, 9, 31), dtype)
    room_values, room_index = values.new_zeros(4, 2, 9, 31), index.new_zeros(4, 2, 9, 31)
    slices = room_values[:, 1].copy_(values), room_index[:, 1].copy_(index)
    expected = reference.running_max(values, index, candidate, units)
    assert _equal(ops.running_max(*slices, candidate, units, out=slices), expected)
    assert not room_values[:, 0].any()
    assert not room_index[:, 0].any()
    found = ops.running_max(values, index, candidate, units, out=(values, index))
    assert found.values is values
    assert _equal(found, expected)


def test_units_one_after_the_other_give_maximum_and_first_argmax() -> None:
    maps = torch.randint(0, 6, (25, 3, 40, 41)).float()
    values, index = torch.full((3, 40, 41), -math.inf), torch.full((3, 40, 41), -1, dtype=torch.int32)
    for unit, candidate in enumerate(maps):
        ops.running_max(values, index, candidate, unit, out=(values, index))
    assert torch.equal(values, maps.amax(0))
    first = (maps == maps.amax(0)).int().argmax(0)  # argmax of equal numbers: their first
    assert torch.equal(index, first.int())


def test_inputs_are_not_changed() -> None:
    problem = _problem((2, 50), torch.float32)
    before = [tensor.clone() for tensor in problem]
    ops.running_max(*problem)
    assert all(torch.equal(a.nan_to_num(nan=7), b.nan_to_num(nan=7)) for a, b in zip(problem, before, strict=True))


def test_an_empty_batch_is_empty() -> None:
    for shape in ((0,), (0, 3), (2, 0)):
        found = ops.running_max(torch.empty(shape), torch.empty(shape, dtype=torch.int32), torch.empty(shape), 1)
        assert found.values.shape == found.index.shape == shape
        assert (found.values.dtype, found.index.dtype) == (torch.float32, torch.int32)


def _with(**changes: object) -> dict[str, object]:
    arguments: dict[str, object] = {
        "values": torch.zeros(2, 3), "index": torch.zeros(2, 3, dtype=torch.int32), "candidate": torch.zeros(2, 3),
        "unit": 0,
    }  # fmt: skip
    return arguments | changes


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"candidate": torch.zeros(2, 3, dtype=torch.int32)}, TypeError, "candidate must be one of float32"),
        ({"candidate": torch.zeros(())}, ValueError, r"candidate must be \(N, \*S\)"),
        ({"candidate": torch.zeros(2, 3).double()}, TypeError, "values must be torch.float64 .* found torch.float32"),
        ({"values": torch.zeros(2, 3).half()}, TypeError, "values must be torch.float32 .* found torch.float16"),
        ({"values": torch.zeros(3, 2)}, ValueError, r"values must have the shape of candidate, \(2, 3\), .*\(3, 2\)"),
        (
            {"index": torch.zeros(2, 3, dtype=torch.int64)},
            TypeError,
            "index must be an int32 tensor, found torch.int64",
        ),
        ({"index": torch.zeros(2, dtype=torch.int32)}, ValueError, "index must have the shape of candidate"),
        ({"index": torch.zeros(2, 3, dtype=torch.int32, device="meta")}, ValueError, "index is on meta"),
        ({"unit": 2**31}, ValueError, "unit must be a number of 32 bits, found 2147483648"),
        ({"unit": torch.zeros(2)}, TypeError, "unit must be a number or an int32 or int64 tensor, found torch.float32"),
        ({"unit": torch.zeros(3, dtype=torch.int64)}, ValueError, r"unit must be one number, or one a sample, \(2,\)"),
        ({"out": torch.zeros(2, 3)}, TypeError, "out must be two tensors"),
        ({"out": (torch.zeros(2, 3), torch.zeros(2, 3))}, TypeError, r"out\[1\] must be torch.int32"),
        ({"out": (torch.zeros(2, 2), torch.zeros(2, 3))}, ValueError, r"out\[0\] must have the shape \(2, 3\)"),
        ({"values": torch.zeros(2, 3, requires_grad=True)}, ValueError, "running_max has no derivative"),
    ],
)
def test_errors_name_the_argument(changes: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ops.running_max(**_with(**changes))  # type: ignore[arg-type]


def test_outputs_that_overlap_are_refused() -> None:
    room, index, candidate = torch.zeros(4, 8), torch.zeros(3, 8, dtype=torch.int32), torch.zeros(3, 8)
    fresh = torch.zeros(3, 8, dtype=torch.int32)
    for values, out in (
        (room[:3], (room[1:], fresh)),  # a row further on
        (room[:3], (room[:3].view(torch.int32).view(torch.float32), room[1:].view(torch.int32))),
        (room[:3], (candidate, fresh)),
    ):
        with pytest.raises(ValueError, match=r"out\[[01]\] shares memory"):
            ops.running_max(values, index, candidate, 0, out=out)


def test_compiled_and_checked_by_torch() -> None:
    values, index, candidate, units = _problem((2, 33), torch.float32)
    values, candidate = values.nan_to_num(), candidate.nan_to_num()
    torch.library.opcheck(torch.ops.camfast.running_max, (values, index, candidate, units))
    compiled = torch.compile(lambda *tensors: ops.running_max(*tensors, 3), fullgraph=True, backend="aot_eager")
    assert _equal(compiled(values, index, candidate), reference.running_max(values, index, candidate, 3))
