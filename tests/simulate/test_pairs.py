"""The pair test of the lab: noisy images of one density correlate as the nominal ratio of signal to noise says.

The variance ratio of one image is r/(1 − r), and the lab's nominal ratio twice that: 0.1 means r = 0.1/2.1 ≈ 0.05.
"""

from itertools import combinations, pairwise
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from camfast.simulate import SHAPES, form_image, shape, subtomogram

SIDE = 40
POSES, IMAGES = 4, 6
# One pair scatters by 0.02 (its 40³ voxels hold about 2,500 that are independent), 4 × 15 pairs by 0.003.
TOLERANCE = 0.01
SEEDED = {"barrel": 1, "cross": 2, "shell": 3, "tetrapod": 4}


def _correlations(density, snr, seed):
    """Pearson's r of every pair of noisy images of one pose, (POSES · pairs,)."""
    found = []
    for pose in range(POSES):
        turn = tuple(np.random.default_rng([seed, pose]).standard_normal(4))
        images = [
            subtomogram(density, seed=[seed, pose, draw], size=SIDE, snr=snr, quaternion=turn).data.ravel()
            for draw in range(IMAGES)
        ]
        found += [np.corrcoef(*pair)[0, 1] for pair in combinations(images, 2)]
    return np.array(found)


@pytest.mark.parametrize("name", SEEDED)
def test_built_in_shapes_pass_the_pair_test(name):
    correlations = _correlations(name, 0.1, SEEDED[name])
    assert len(correlations) >= 10
    assert correlations.mean() == pytest.approx(0.05, abs=TOLERANCE)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["1bxn", "2cg9", "4v4r", "5mrc"])
def test_templates_pass_the_pair_test(name, data_dir: Path):
    density = mrcfile.read(data_dir / "templates" / f"{name}.mrc")
    correlations = _correlations(density, 0.1, 7)
    assert len(correlations) >= 10
    assert correlations.mean() == pytest.approx(0.05, abs=TOLERANCE)


@pytest.mark.parametrize("snr", [0.1, 0.5, 2.0])
def test_the_ratio_is_right_without_pairs_too(snr):
    # The noise of one image is what is left of it without its signal, which only a simulation can know.
    nominal = []
    for index, name in enumerate(SHAPES):
        density = np.pad(shape(name, 24), 8)
        signal = form_image(density, 0, snr=np.inf).astype(np.float64)
        for draw in range(4):
            noise = form_image(density, [index, draw], snr=snr) - signal
            nominal.append(2 * signal.var() / noise.var())
    # The recipe scales by the variances before the wedge, which takes more of one shape (rod) than of another (cross).
    assert np.mean(nominal) == pytest.approx(snr, rel=0.1)


def test_more_signal_correlates_more():
    means = [_correlations("ring", snr, 5).mean() for snr in (0.1, 0.5, 2.0)]
    assert all(low + 0.05 < high for low, high in pairwise(means))
