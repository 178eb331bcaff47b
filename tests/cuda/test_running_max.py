"""`running_max` of the CUDA sources, on the emulated device: the tests of the op, and rows that are read in vectors."""

import pytest
import torch

from camfast import ops
from camfast.ops import reference
from tests.ops import cases
from tests.ops.test_running_max import (  # noqa: F401
    _equal,
    _problem,
    test_any_layout_is_read,
    test_equals_the_reference,
    test_in_place_and_into_slices,
)

pytestmark = pytest.mark.usefixtures("ops_on_device")


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=str)
@pytest.mark.parametrize("offset", [0, 1, 2])
def test_aligned_or_not(dtype: torch.dtype, offset: int) -> None:
    values, index, candidate, units = _problem((3, 64), dtype)
    shifted = [torch.cat([t.new_zeros(offset), t.flatten()])[offset:].view(3, 64) for t in (values, index, candidate)]
    expected = reference.running_max(values, index, candidate, units)
    assert _equal(ops.running_max(*shifted, units), expected)
