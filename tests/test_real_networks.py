"""Trained networks on real input: the maps of a cat and a dog peak on the cat and on the dog."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import camfast

pytestmark = pytest.mark.realdata
# rows and columns of the 227 × 227 photograph that the animals fill, read off the picture by eye
CAT, DOG = (slice(120, 227), slice(40, 200)), (slice(12, 142), slice(78, 170))
CLASSES = {282: CAT, 243: DOG}


@pytest.mark.parametrize(
    ("method", "options"), [("gradcam", {}), ("respond", {}), ("extended", {"sigma": 227 / 13})], ids=str
)
def test_maps_peak_on_the_animal_of_their_class(data_dir: Path, method: str, options: dict[str, float]) -> None:
    network = camfast.models.load("squeezenet1_0", data_dir / "imagenet" / "squeezenet1_0.safetensors")
    assert network.preprocess is not None
    with Image.open(data_dir / "imagenet" / "both.png") as photograph:
        inputs = network.preprocess(photograph)
    result = camfast.Explainer(network.module, "fire9", method, **options)(inputs, list(CLASSES))
    for heat, (rows, columns) in zip(result.maps[0], CLASSES.values(), strict=True):
        row, column = divmod(int(heat.argmax()), 227)
        assert rows.start <= row < rows.stop
        assert columns.start <= column < columns.stop
        inside = heat.clamp(min=0)[rows, columns].sum() / heat.clamp(min=0).sum()
        area = (rows.stop - rows.start) * (columns.stop - columns.start) / heat.numel()
        assert inside > 1.5 * area


def test_a_segmenter_s_score_is_the_sum_of_its_map(data_dir: Path) -> None:
    network = camfast.models.load("meshnet", data_dir / "mri" / "meshnet_5ch_grey_white.safetensors")
    volume = torch.rand(1, 1, 32, 32, 32)
    explainer = camfast.Explainer(network.module, "activation9", "respond")
    result = explainer(volume, camfast.Region(1, "image"))
    bias = network.module.state_dict()["conv10.bias"][1]
    # behind activation9 stands a 1 × 1 × 1 convolution: all that isn't in the map is its bias, once a voxel
    assert torch.allclose(result.residual, bias * 32**3, rtol=1e-4)
    assert result.grid.abs().sum() > 0


def test_the_example_draws_what_it_says(data_dir: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "examples" / "explain_photographs.py"
    weights, image = data_dir / "imagenet" / "squeezenet1_0.safetensors", data_dir / "imagenet" / "both.png"
    command = [sys.executable, str(script), "--weights", str(weights), "--image", str(image), "--out", "cat.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert "respond    tiger cat    peak at row 148, column 165" in done.stdout
    with Image.open(tmp_path / "cat.png") as picture:
        assert picture.size[0] > 900
