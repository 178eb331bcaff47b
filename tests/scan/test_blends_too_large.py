"""A map that is finite in every window may be too large where windows are added up."""

import numpy as np
import pytest
import torch
from torch import nn

import camfast
from camfast.scan import scan


class Large(nn.Module):
    """The window's values, so large that two of them are more than float32 holds."""

    def forward(self, x):
        return x * 2.5e38


def test_a_sum_that_is_more_than_float32_holds_is_named():
    model = nn.Sequential(nn.AvgPool3d(4), Large(), nn.Flatten(), nn.Linear(8, 1, bias=False)).eval()
    with torch.no_grad():
        model[3].weight[0] = torch.tensor([1.0, 1.0, -1.0, -1.0, 0.0, 0.0, 0.0, 0.0])  # scores stay finite
    explainer = camfast.Explainer(model, "1", "elementwise")
    volume = np.ones((8, 8, 16), np.float32)
    options = {"window": 8, "stride": 4, "target": 0, "normalize": None, "progress": False}
    assert scan(volume, explainer, **options).cam.isfinite().all()
    with pytest.raises(
        camfast.InputError, match="their blend is too large for float32; choose the blend center or mean"
    ):
        scan(volume, explainer, blend="sum", **options)
