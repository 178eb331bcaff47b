"""The training script: what it cuts, what it writes, and that it goes on where it stopped."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from camfast.models import load, read_weights
from camfast.simulate import SHAPES, tomogram

SCRIPT = Path(__file__).parents[2] / "examples" / "train_subtomograms.py"


@pytest.fixture
def script(monkeypatch):
    specification = importlib.util.spec_from_file_location("train_subtomograms", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    threads = torch.get_num_threads()

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--quick", *map(str, arguments)])
        module.main()

    module.run = run
    yield module
    torch.set_num_threads(threads)


def test_a_quick_run_writes_weights_that_load(script, tmp_path, capsys):
    script.run("--architecture", "cnn2", "--width", 4, "--hidden", 8, "--out", tmp_path / "w.safetensors")
    printed = float(re.search(r"test accuracy (\S+) on", capsys.readouterr().out)[1])
    loaded = load("cnn2", tmp_path / "w.safetensors")
    assert loaded.labels == (*SHAPES, "nothing")
    assert (loaded.layer, loaded.voxel_angstrom) == ("maxpool2", 10.0)
    assert loaded.metadata["accuracy"] == printed
    assert loaded.metadata["normalization"] == {"kind": "tomogram", "mean": 0.0, "std": 1.0}
    assert loaded.metadata["training"]["seed"] == 0
    assert loaded.module(torch.zeros(2, 1, 32, 32, 32)).shape == (2, 9)


def test_the_same_seed_writes_the_same_bytes_also_after_an_interruption(script, tmp_path, monkeypatch):
    options = ("--architecture", "cnn2", "--width", 4, "--hidden", 8)
    script.run(*options, "--out", tmp_path / "whole.safetensors")
    save = torch.save

    def save_and_stop(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    options += ("--checkpoint", tmp_path / "run" / "checkpoint.pt", "--out", tmp_path / "resumed.safetensors")
    monkeypatch.setattr(torch, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        script.run(*options)
    monkeypatch.undo()
    sys.argv[1:] = ["--quick", *map(str, options)]
    script.main()
    assert (tmp_path / "whole.safetensors").read_bytes() == (tmp_path / "resumed.safetensors").read_bytes()
    other = tmp_path / "other.safetensors"
    sys.argv[1:] = ["--quick", *map(str, options[:6]), "--seed", "1", "--out", str(other)]
    script.main()
    first, second = (read_weights(path).state["conv1.weight"] for path in (tmp_path / "whole.safetensors", other))
    assert not torch.equal(first, second)


def test_windows_belong_to_what_is_near_their_centre(script, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--out", "unused"])
    arguments = script.parse_arguments()
    data = tomogram((48, 96, 96), 20, seed=3, snr=np.inf)
    # Voxels that hold their own position show where a window was cut.
    position = np.arange(data.data.size, dtype=np.float64).reshape(data.data.shape)
    marked = type(data)(position, data.particles, data.labels, data.voxel_angstrom)
    centres = np.array([particle.centre for particle in data.particles])
    classes = np.array([particle.class_index for particle in data.particles])
    seen = set()
    for window, label, judged in script.windows(marked, np.random.default_rng(0), arguments):
        assert window.shape == (32, 32, 32)
        corner = round(float(window.min()) * position.std() + position.mean())
        start = np.array(np.unravel_index(corner, position.shape))
        offset = np.abs(centres - start - 15.5).max(axis=1)
        if label == len(SHAPES):
            assert offset.min() > arguments.clearance
        else:
            assert offset[classes == label].min() <= arguments.jitter
        outskirts = set(classes[(offset < 16)]) - {label}
        assert set(np.flatnonzero(~judged)) == outskirts
        seen.add(label)
    reach = 15.5 - arguments.jitter
    reached = ((centres >= reach) & (centres <= np.array(position.shape) - 1 - reach)).all(axis=1)
    assert seen == set(classes[reached]) | {len(SHAPES)}
