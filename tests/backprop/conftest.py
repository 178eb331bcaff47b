"""What the tests of backward-pass maps share."""

import pytest
import torch
from torch import Tensor


@pytest.fixture
def x() -> Tensor:
    """A batch (3, 2, 8) in float64."""
    return torch.randn(3, 2, 8, dtype=torch.float64)
