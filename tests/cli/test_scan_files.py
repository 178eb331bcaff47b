"""What ``camfast scan`` says in its files, and of several tomograms."""

import hashlib

import mrcfile
import zarr

from camfast import __version__


def test_an_mrc_file_says_how_it_came_about(camfast, command, weights, tmp_path):
    assert camfast(*command("--quiet", target="ring")).code == 0
    with mrcfile.open(tmp_path / "cam.mrc") as file:
        labels = [label.decode().strip() for label in file.header.label[: int(file.header.nlabl)]]
    found = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
    assert labels[0] == f"camfast {__version__}"
    assert set(labels) >= {"target: 2", "label: ring", "model: cnn2", f"weights: small.safetensors sha256:{found}"}


def test_a_zarr_of_several_targets_names_its_channels(camfast, command, tmp_path):
    assert camfast(*command("--quiet", target="ring,ball", out=tmp_path / "cam.zarr")).code == 0
    group = zarr.open_group(tmp_path / "cam.zarr", mode="r")
    assert [channel["label"] for channel in group.attrs["ome"]["omero"]["channels"]] == ["ring", "ball"]
    about = group.attrs["camfast"]
    assert (about["labels"], about["model"], about["version"]) == (["ring", "ball"], "cnn2", __version__)
