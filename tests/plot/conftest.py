"""A volume to draw."""

import numpy as np
import pytest

from tests.plot.drawn import SHAPE


@pytest.fixture
def volume():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
