"""Methods that no kernel knows, through ``camfast explain`` and ``camfast scan``: what the library gives."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import camfast as package
from camfast import models
from camfast.scan.files import open_written

POOLED = """
import torch
from torch import nn


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def volumes():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool3d(8),
        nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3),
    )
"""


@pytest.fixture
def pooled(tmp_path):
    path = tmp_path / "pooled.py"
    path.write_text(POOLED)
    return path


@pytest.mark.parametrize("method", ["cam", "eigencam", "eigengradcam"])
def test_a_photograph(camfast, explaining, photo, pooled, method):
    ran = camfast(*explaining("--json", model=f"{pooled}:network", layer=1, method=method, size=None))
    assert (ran.code, ran.err) == (0, "")
    facts = json.loads(ran.out)
    with Image.open(photo) as image:
        inputs = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    expected = package.cam(models.load(f"{pooled}:network").module, inputs, "1", 1, method=method)
    assert (facts["method"], facts["empty"]) == (method, False)
    assert facts["largest"] == pytest.approx(float(expected.max()), rel=1e-4)
    assert facts["smallest"] == pytest.approx(float(expected.min()), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("method", ["cam", "eigencam", "eigengradcam"])
@pytest.mark.parametrize("target", [2, "all"])
def test_a_tomogram(camfast, command, tomogram, pooled, tmp_path, method, target):
    spec, out = f"{pooled}:volumes", tmp_path / ("cam.zarr" if target == "all" else "cam.mrc")
    ran = camfast(*command("--quiet", model=spec, weights=None, layer=2, method=method, target=target, out=out))
    assert (ran.code, ran.out) == (0, "")
    explainer = package.Explainer(models.load(spec).module, "2", method)
    expected = package.scan(tomogram, explainer, window=16, stride=8, target=target, progress=False).cam
    found = np.asarray(open_written(out)[...])
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)
    assert np.abs(found).max() > 0


def test_gaussians_need_their_flag(refused, explaining, pooled):
    line = refused(*explaining(model=f"{pooled}:network", layer=1, method="eigencam", sigma="3"))
    assert "--sigma belongs to Gaussian upsampling; add --upsample gaussian" in line


def test_a_head_that_cam_cannot_use_is_described(refused, explaining):
    line = refused(*explaining(method="cam"))
    assert "--method cam needs scores that a linear layer or 1×1 convolution makes" in line
    assert "4 takes 192 values, and the layer has 4 channels" in line
    assert "head=" not in line
