"""Checks of whole numbers, and of what names the argument where one doesn't fit."""

import numpy as np
import pytest

from camfast.checks import check_count, check_sizes


def test_whole_numbers_of_any_integer_type() -> None:
    assert check_count("steps", np.int64(3)) == 3
    assert check_count("draws", 0, least=0) == 0
    assert check_sizes("window", np.int32(2), 3) == [2, 2, 2]
    assert check_sizes("window", np.array([2, 3]), 2, (2, 4)) == [2, 3]
    for value in (0, -1, 2.0, True, "2", None):
        with pytest.raises(ValueError, match="steps must be a whole number of at least 1, found"):
            check_count("steps", value)
    for value in (3, (1, 3), (1,), (1, True), (1, 0), 1.0, "11", None):
        with pytest.raises(
            ValueError, match=r"window must be a whole number from 1 to \(2, 2\), or 2, one a spatial axis"
        ):
            check_sizes("window", value, 2, (2, 2))
