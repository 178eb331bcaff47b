"""The network that comes with the package."""

import torch

from camfast.models import load, read_weights
from camfast.models.builtin import BUILTINS
from camfast.simulate import SHAPES, tomogram


def test_the_bundled_network_knows_what_a_scan_needs():
    loaded = load("subtomogram_demo")
    assert loaded.labels == (*SHAPES, "nothing")
    assert (loaded.layer, loaded.voxel_angstrom) == ("maxpool2", 10.0)
    assert loaded.metadata["normalization"] == {"kind": "tomogram", "mean": 0.0, "std": 1.0}
    assert loaded.metadata["window"] == [32, 32, 32]
    assert 0.9 < loaded.metadata["accuracy"] <= 1.0
    assert BUILTINS["subtomogram_demo"].weights.stat().st_size < 3e6
    assert read_weights(BUILTINS["subtomogram_demo"].weights).metadata["arguments"]["classes"] == len(loaded.labels)


def test_the_bundled_network_recognises_particles_of_a_tomogram_it_never_saw():
    loaded = load("subtomogram_demo")
    data = tomogram((64, 96, 96), 24, seed=2024, snr=loaded.metadata["training"]["snr"])
    volume = torch.from_numpy((data.data - data.data.mean()) / data.data.std())
    windows, classes = [], []
    for particle in data.particles:
        start = [min(max(round(c - 15.5), 0), size - 32) for c, size in zip(particle.centre, volume.shape, strict=True)]
        if all(abs(s + 15.5 - c) <= 4 for s, c in zip(start, particle.centre, strict=True)):
            windows.append(volume[tuple(slice(s, s + 32) for s in start)])
            classes.append(particle.class_index)
    with torch.no_grad():
        predicted = loaded.module(torch.stack(windows)[:, None]).argmax(dim=1)
    assert len(classes) >= 12
    assert (predicted == torch.tensor(classes)).double().mean() >= 0.8
