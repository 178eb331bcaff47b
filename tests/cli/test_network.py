"""What the commands share: options that are read from text, and networks without weights."""

import argparse
import json

import mrcfile
import numpy as np
import pytest

from camfast.cli import network


@pytest.mark.parametrize(("text", "value"), [("8", 8), ("8,9,10", (8, 9, 10))])
def test_voxels(text, value):
    assert network.voxels(text) == value


@pytest.mark.parametrize("text", ["40,40", "", "a", "1.5"])
def test_what_is_no_number_of_voxels(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"found '{text}', expected a whole number of voxels"):
        network.voxels(text)


@pytest.mark.parametrize("text", ["1,nan", "inf", "1,", "one"])
def test_what_is_no_finite_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a finite number"):
        network.numbers(text)


def test_a_scan_without_weights_says_so(camfast, tmp_path):
    with mrcfile.new(tmp_path / "tomo.mrc") as file:
        file.set_data(np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32))
        file.set_volume()
    ran = camfast("scan", tmp_path / "tomo.mrc", "--model", "cnn2", "--window", "40", "--stride", "40",
                  "--target", "0", "--out", tmp_path / "cam.mrc", "--dry-run", "--json")  # fmt: skip
    assert "camfast: warning: no --weights: the network is untrained" in ran.err
    assert json.loads(ran.out)["untrained"] is True


@pytest.mark.parametrize(
    ("text", "index"), [("ring", 2), ("2", 2), ("toroid", 2), ("7", 7), ("predicted", "predicted"), ("0,ball", [0, 0])]
)
def test_classes_by_number_label_and_synonym(text, index):
    labels = ("ball", "rod, 7", "ring, toroid") if text != "ring" else ("ball", "rod", "ring")
    assert network.target_of(text, labels) == index
