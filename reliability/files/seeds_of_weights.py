"""Small valid files of weights, and of what stands beside them."""

import io
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from reliability.files.seeds import Seed

METADATA: dict[str, Any] = {
    "arguments": {"classes": 3, "width": 1, "hidden": 2, "side": 4},
    "labels": ["ball", "rod", "shell"],
    "layer": "maxpool2",
    "voxel_angstrom": 10.0,
    "normalization": {"kind": "tomogram", "mean": 0, "std": 1},
    "preprocess": {"size": [8, 9], "channels": "L", "scale": 0.5, "mean": [1.0], "std": 2, "resample": "box"},
    "accuracy": 0.9,
}


def network() -> Any:
    """A network whose weights are some kilobytes: a window of 4 voxels, 3 classes."""
    import torch

    from camfast.models import cnn1

    torch.manual_seed(0)
    return cnn1(classes=3, width=1, hidden=2, side=4).eval()


def safetensors() -> list[Seed]:
    """Weights with all metadata, without any, and in other types."""
    from camfast.models import save_weights

    found = []
    for module, metadata in ((network(), METADATA), (network(), {}), (network().half(), {"labels": ["a"] * 3})):
        with tempfile.TemporaryDirectory() as folder:
            save_weights(f"{folder}/a.safetensors", module, **metadata)
            found.append(Seed("a.safetensors", {"": Path(folder, "a.safetensors").read_bytes()}, ((0, "<Q"),)))
    return found


def state_dicts() -> list[Seed]:
    """Weights as ``torch.save`` writes them, as an archive and as it did before, plain and under a key."""
    import torch

    state = network().state_dict()
    found = []
    for content, archive in ((state, True), (_in_one(state), False), ({"state_dict": state, "epoch": 3}, True)):
        stream = io.BytesIO()
        torch.save(content, stream, _use_new_zipfile_serialization=archive)
        found.append(Seed("a.pt", {"": stream.getvalue() if archive else _numbered(stream.getvalue())}))
    return found


def _in_one(state: dict[str, Any]) -> dict[str, Any]:
    """The same tensors as parts of one: the format before archives sorts several by where they lie in memory."""
    import torch

    parts = torch.cat([tensor.flatten() for tensor in state.values()]).split([t.numel() for t in state.values()])
    return {key: part.view(tensor.shape) for (key, tensor), part in zip(state.items(), parts, strict=True)}


def _numbered(content: bytes) -> bytes:
    """That format calls it by its place in memory, a number of 14 or 15 digits; here it is 1."""
    return re.sub(rb"X.\0\0\0\d{12,16}", b"X\x0f\0\0\0" + b"%015d" % 1, content, flags=re.DOTALL)


LAYERS: list[dict[str, Any]] = [
    layer
    for dilation in (1, 2, 4, 8, 16, 8, 4, 2, 1)
    for layer in ({"op": "conv3d", "kernel": [3, 3, 3], "dilation": [dilation] * 3}, {"op": "relu"})
]
LAYERS.append({"op": "conv3d", "name": "conv10", "kernel": [1, 1, 1], "dilation": [1, 1, 1]})


def layer_lists() -> list[Seed]:
    """A MeshNet's list of layers beside its weights."""
    import torch

    from camfast.models import meshnet

    torch.manual_seed(0)
    stream = io.BytesIO()
    torch.save(meshnet(3, 2, layers=LAYERS).state_dict(), stream)
    return [Seed("a.pt", {"a.pt": stream.getvalue(), "a.json": json.dumps(LAYERS).encode()})]
