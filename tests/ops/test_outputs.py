"""Where an op's output may lie: its strides, and the memory of others beside it."""

import pytest
from torch import Tensor

from camfast.ops.checks import check_out, same_elements
from tests.ops.test_checks import A, zeros


def test_same_elements() -> None:
    square = zeros(2, 2)
    assert same_elements(square, square.view(2, 2))
    assert not same_elements(square, square.mT)
    assert not same_elements(square, zeros(2, 2))


LEAD: list[tuple[Tensor, tuple[int, ...], tuple[int, ...], bool]] = [
    (zeros(2, 9, 4)[:, ::3], (2, 3), (4,), True),
    (zeros(3, 2, 4).transpose(0, 1), (2, 3), (4,), True),
    (zeros(2, 4, 8)[..., ::2], (2,), (4, 4), False),
    (zeros(2, 8, 4)[:, ::2], (2,), (4, 4), False),
    (zeros(2, 8, 4)[:, :4], (2,), (4, 4), True),
    (zeros(2, 1, 4).as_strided((2, 1, 4), (4, 9, 1)), (2,), (1, 4), True),
    (zeros(1, 4).expand(2, 4), (2,), (4,), False),
    (zeros(8).as_strided((2, 4), (3, 1)), (2,), (4,), False),
    (zeros(8).as_strided((2, 4), (4, 1)), (2,), (4,), True),
    (zeros(8).as_strided((1, 4), (0, 1)), (1,), (4,), True),
]


@pytest.mark.parametrize(("out", "lead", "rest", "fits"), LEAD)
def test_strides_of_outputs(out: Tensor, lead: tuple[int, ...], rest: tuple[int, ...], fits: bool) -> None:
    if fits:
        check_out(out, lead, rest, [A])
        return
    with pytest.raises(ValueError, match=f"^out must be contiguous in its last {len(rest)} axes, found the strides"):
        check_out(out, lead, rest, [A])


def test_extents_of_views() -> None:
    room = zeros(40)
    spread = room[:20].view(4, 5)[:, :2]  # ends at element 17
    check_out(room[17:19], (2,), (), [spread])
    for out in (room[16:18], room[0:2], room[3:5]):
        with pytest.raises(ValueError, match=r"^out shares memory"):
            check_out(out, (2,), (), [spread])
    check_out(room[:4], (4,), (), [room[4:8], room[4:4], A])
    check_out(room[4:8], (4,), (), [room[:4]])
    with pytest.raises(ValueError, match=r"^out shares memory"):
        check_out(room[4:8], (4,), (), [A, room[7:9]])
    check_out(None, (2,), (), [])
    with pytest.raises(ValueError, match=r"^part shares memory"):
        check_out(room[:4], (4,), (), [room[:1]], "part")
