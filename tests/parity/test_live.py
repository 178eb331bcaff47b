"""The overlay that the benchmark compares with is one of the same frame, class and map."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import camfast
from bench.bench_live import PREPROCESS
from bench.live_peer import PeerOverlay
from camfast.live import Overlay

pytestmark = pytest.mark.parity


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["both.png", "chelsea.png", "parrot.jpg"])
def test_the_peers_map_is_ours(data_dir: Path, name: str) -> None:
    folder = data_dir / "imagenet"
    frame = np.asarray(Image.open(folder / name).convert("L").resize((640, 480))).astype(np.uint16) * 16
    loaded = camfast.models.load("squeezenet1_0", folder / "squeezenet1_0.safetensors")
    peer = PeerOverlay(loaded.module, "fire9", PREPROCESS)(frame, 0.0, 4080.0)
    pipeline = Overlay(
        camfast.Explainer(loaded.module, "fire9"), (480, 640), "uint16", preprocess=PREPROCESS, levels=(0.0, 4080.0)
    )
    picture = pipeline.show(frame)
    # the peer stretches the map from its minimum to its maximum on the network's input, mixes bytes with half of a
    # picture that is then stretched to its maximum, and OpenCV's jet is a little another: places and colours agree
    ours = picture.rgb.numpy().astype(float) / picture.rgb.numpy().max()
    theirs = peer.astype(float) / peer.max()
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.95
    assert torch.isfinite(picture.scores).all()
