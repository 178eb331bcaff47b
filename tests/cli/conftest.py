"""The command line in this process, small weights for it, and a small tomogram."""

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from PIL import Image

from camfast import cli, models


@dataclass
class Ran:
    """What a command gave back."""

    code: int
    out: str
    err: str


@pytest.fixture
def camfast(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run the command line with these arguments."""

    def run(*arguments: object) -> Ran:
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def refused(camfast: Callable[..., Ran], tmp_path: Path) -> Callable[..., str]:
    """Run a command that has to end with exit code 2, one line on standard error, and no new file; return the line."""

    def run(*arguments: object) -> str:
        before = _there(tmp_path)
        ran = camfast(*arguments)
        assert ran.code == 2, ran.err
        assert ran.out == ""
        assert re.fullmatch(r"camfast: error: [^\n]+\n", ran.err), ran.err
        assert _there(tmp_path) == before
        return ran.err

    return run


def _there(folder: Path) -> list[Path]:
    """What lies in a folder, without what Python keeps of a network's file that it has imported."""
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CNN-2 with random weights: windows of 16 voxels, cells of 8, trained for 10 Å as it says."""
    torch.manual_seed(5)
    shape = {"classes": 4, "width": 2, "hidden": 8, "side": 16}
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    labels = ["ball", "rod", "ring", "nothing"]
    models.save_weights(path, models.cnn2(**shape), arguments=shape, labels=labels, voxel_angstrom=10.0)
    return path


@pytest.fixture
def tomogram(tmp_path: Path) -> Path:
    """A volume of 20 × 24 × 28 voxels of 10 Å."""
    path = tmp_path / "tomo.mrc"
    with mrcfile.new(path) as file:
        file.set_data(np.random.default_rng(0).normal(size=(20, 24, 28)).astype(np.float32))
        file.set_volume()
        file.voxel_size = 10.0
    return path


@pytest.fixture
def command(tomogram, weights, tmp_path):
    """The arguments of a good scan, some replaced or dropped (None)."""

    def arguments(*more, tomograms=(tomogram,), **changes):
        options = {"model": "cnn2", "weights": weights, "window": 16, "stride": 8, "target": 2, "method": "respond",
                   "out": tmp_path / "cam.mrc"}  # fmt: skip
        options.update(changes)
        pairs = [(f"--{name.replace('_', '-')}", value) for name, value in options.items() if value is not None]
        return ["scan", *tomograms, *(part for pair in pairs for part in pair), *more]

    return arguments


FACTORY = """
import torch
from torch import nn


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(4 * 6 * 8, 3)
    )


def segmenter():
    torch.manual_seed(26)  # of the tomogram each class gets a part
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv3d(4, 3, 1))
"""


@pytest.fixture
def factory(tmp_path) -> Path:
    path = tmp_path / "network.py"
    path.write_text(FACTORY)
    return path


@pytest.fixture
def photo(tmp_path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def explaining(photo, factory, tmp_path):
    """The arguments of a good explanation, some replaced or dropped (None)."""

    def arguments(*more, image=photo, **changes):
        options = {"model": f"{factory}:network", "layer": 2, "target": 1, "size": "24,32", "out": tmp_path / "out.png"}
        options.update(changes)
        pairs = [(f"--{name}", value) for name, value in options.items() if value is not None]
        return ["explain", image, *(part for pair in pairs for part in pair), *more]

    return arguments


@pytest.fixture(autouse=True)
def _usual_signals():
    """Signals as in a terminal: whoever runs the tests (nohup, a job in the background) may have them ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    inherited = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in inherited.items():
        signal.signal(number, handler)
