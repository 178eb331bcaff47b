"""Filters, against PIL's on pictures of floats."""

import numpy as np
import pytest
import torch
from PIL import Image

from camfast.live.pipeline.resampling import Resampler

FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
SIZES = [
    ((31, 47), (7, 9)),
    ((16, 16), (16, 16)),
    ((9, 5), (20, 11)),
    ((1, 1), (3, 2)),
    ((40, 8), (1, 1)),
    ((64, 61), (64, 10)),
]


@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_equals_pil(resample: str, before: tuple[int, int], after: tuple[int, int]) -> None:
    planes = torch.rand(3, *before) * 4000
    resampler = Resampler((3, *before), after, resample, torch.device("cpu"))
    found = resampler(planes)
    for plane, one in zip(planes, found, strict=True):
        picture = Image.fromarray(plane.numpy()).resize(after[::-1], Image.Resampling[resample.upper()])
        # PIL sums in float64 and both store float32; values reach 4000
        np.testing.assert_allclose(one.numpy(), np.asarray(picture), rtol=2e-6, atol=4e-3)


def test_the_result_is_kept() -> None:
    resampler = Resampler((1, 8, 8), (4, 4), "bilinear", torch.device("cpu"))
    first = resampler(torch.zeros(1, 8, 8))
    assert resampler(torch.ones(1, 8, 8)).data_ptr() == first.data_ptr()
