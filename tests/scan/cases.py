"""What the tests of scans share: windows for the small network, and volumes."""

import numpy as np

WINDOW, STRIDE, CELL = (12, 8, 8), (8, 4, 8), 4


def density(shape, seed=0):
    return np.random.default_rng(seed).gamma(2.0, 3.0, shape).astype(np.float32)
