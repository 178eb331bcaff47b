"""The ops that compare and add: a drawn call gives the same numbers as `exact`, on the backend that is named."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from camfast import ops
from camfast.ops.forms import DTYPES, map_dtype
from reliability.kernels import exact
from reliability.kernels.hostile import Draw
from reliability.kernels.judging import assert_same, bits, values
from reliability.kernels.outputs import Output, same_by_teams


def running_max(draw: Draw, backend: str, room: int) -> None:
    dtype = draw.one_of("dtype", DTYPES)
    shape = draw.sizes("shape", draw("axes", st.integers(1, 4)), room)
    values_before = draw.tensor("values", shape, map_dtype(dtype), scale=1.0)
    candidate = draw.tensor("candidate", shape, dtype)
    numbers = torch.arange(int(np.prod(shape)), dtype=torch.int32).view(shape)
    index = numbers if draw.flag("index in order") else numbers.t().contiguous().t() if len(shape) == 2 else -numbers
    units = torch.arange(shape[0], dtype=draw.one_of("unit dtype", (torch.int32, torch.int64))) - 3
    unit = draw.one_of("unit", (5, -(2**31), 2**31 - 1, units, torch.tensor(7)))
    kind = draw.one_of("outputs", ("none", "apart", "in place"))
    pair = (values_before, index)
    if draw.teams and kind == "in place":

        def in_place() -> list[bytes]:
            fresh = (
                values_before.clone(memory_format=torch.contiguous_format),
                index.clone(memory_format=torch.contiguous_format),
            )
            return bits(ops.running_max(*fresh, candidate, unit, out=fresh, backend=backend))

        same_by_teams(draw.teams, in_place)
        return
    if kind == "in place" and all(tensor.is_contiguous() and not tensor.is_neg() for tensor in pair):
        pair = (values_before.clone(), index.clone())
        found = ops.running_max(*pair, candidate, unit, out=pair, backend=backend)
        assert found.values is pair[0]
    else:
        out = Output(draw, shape, 1, map_dtype(dtype))
        candidate = out.place(draw, candidate)
        fresh = torch.full(shape, 99, dtype=torch.int32)
        found = out.call(
            lambda o: ops.running_max(*pair, candidate, unit, out=None if o is None else (o, fresh), backend=backend),
            [*pair, candidate], lambda r: r,
        )  # fmt: skip
        if found is None:
            return
    rows = shape[0], int(np.prod(shape[1:]))
    which = values(unit).reshape(-1, 1) if isinstance(unit, Tensor) else np.array([[unit]])
    before = (values(tensor).reshape(rows) for tensor in (values_before, index, candidate))
    expected = exact.running_max(*before, np.broadcast_to(which, (rows[0], 1)))
    assert_same(found.values.reshape(rows), expected[0], "values")
    assert_same(found.index.reshape(rows), expected[1], "index")


def window_sum(draw: Draw, backend: str, room: int) -> None:
    rank = draw("rank", st.integers(1, 3))
    targets, windows = draw.one_of("targets", (1, 2, 5, 0)), draw.one_of("windows", (1, 2, 9, 0))
    grid = draw.sizes("grid", rank, max(1, room // 5), empty=False)
    window = tuple(draw.size(f"window[{axis}]", extent) for axis, extent in enumerate(grid))
    while windows * max(targets, 1) * int(np.prod(window)) > 4 * room:
        windows //= 2
    total = draw.tensor("total", (targets, *grid), torch.float64)
    maps = draw.tensor("maps", (windows, targets, *window), draw.one_of("dtype", DTYPES))
    taper = draw.tensor("taper", window, torch.float64, scale=1.0, specials=False)
    generator = torch.Generator().manual_seed(draw("origins seed", st.integers(0, 99)))
    last = [extent - cells + 1 for extent, cells in zip(grid, window, strict=True)]
    origins = torch.stack([torch.randint(0, n, (windows,), generator=generator) for n in last], 1)
    origins = origins.to(draw.one_of("origins dtype", (torch.int32, torch.int64)))
    if draw.flag("origins by axis"):
        origins = origins.t().contiguous().t()
    blend = draw.one_of("blend", ("mean", "max"))
    in_place = draw.flag("in place")
    if draw.teams and in_place:

        def onto_itself() -> list[bytes]:
            into = total.clone(memory_format=torch.contiguous_format)
            return bits([ops.window_sum(into, maps, origins, taper, blend=blend, out=into, backend=backend)])

        same_by_teams(draw.teams, onto_itself)
        return
    if in_place and total.is_contiguous() and not total.is_neg():
        into = total.clone()
        found = ops.window_sum(into, maps, origins, taper, blend=blend, out=into, backend=backend)
    else:
        out = Output(draw, total.shape, 1, torch.float64)
        maps = out.place(draw, maps)
        found = out.call(
            lambda o: ops.window_sum(total, maps, origins, taper, blend=blend, out=o, backend=backend),
            [total, maps, origins, taper], lambda r: [r],
        )  # fmt: skip
        if found is None:
            return
    expected = exact.window_sum(values(total), values(maps), origins.numpy(), values(taper), blend)
    assert_same(found, expected, "total")
