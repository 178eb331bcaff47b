"""Pictures that are written with gaps between them: Triton's overlay leaves the gaps alone."""

import pytest
import torch

from camfast.ops import reference
from camfast.ops.colormaps import color_table
from tests.kernels.test_interpreted import Interpreted

# rows of whole words and not, gaps of whole words and not
SIZES = ((1, 1), (1, 4), (2, 8), (3, 5), (4, 12))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("gap", [1, 4, 3 * 64])
@pytest.mark.parametrize("first", [0, 1, 4])
def test_overlay(interpreted: Interpreted, size: tuple[int, int], gap: int, first: int) -> None:
    pixels = 3 * size[0] * size[1]
    room = torch.full((first + 3 * (pixels + gap),), 77, dtype=torch.uint8)
    out = room.as_strided((3, *size, 3), (pixels + gap, 3 * size[1], 3, 1), first)
    image, heat = torch.rand(3, *size), torch.rand(3, 2, 2)
    arguments = (image, heat, color_table("jet", torch.device("cpu")), 0.0, 1.0, 0.5, None, 0.0, 1.0, 0.0)
    interpreted("overlay", *arguments, out)
    assert (
        out.int() - reference.overlay(*arguments).int()
    ).abs().max() <= 2  # half a step of the table, where a half is rounded to the other side
    out.fill_(77)
    assert bool((room == 77).all())
