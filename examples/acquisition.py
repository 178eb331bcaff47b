# %% [markdown]
# # An overlay while frames arrive
#
# A simulated camera shows round particles; a small network, whose filters are set by hand, scores two sizes of them.
# A session shows every frame with its map: here to a function and to a recording, as there may be no display. The
# class is changed while it runs. Runs as a script (`python examples/acquisition.py --out run`) and cell by cell in an
# editor that knows `# %%`. Needs `pip install 'camfast[live,scan]'`. The guide behind it is
# `docs/guides/acquiring.md`.

# %%
"""Run a session on a simulated camera: rates, a recording, another class, and a snapshot."""

import argparse
import json
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import camfast
from camfast.live import Looks, Session, Shown, open_sink
from camfast.models import Preprocess

parser = argparse.ArgumentParser(description="Run a session on a simulated camera.")
parser.add_argument("--out", type=Path, default=Path("acquisition"), help="folder for what is written")
parser.add_argument("--seconds", type=float, default=3.0, help="how long each of two classes is shown (default 3)")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)  # a notebook has arguments of its own
out = arguments.out
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The camera
# `sim:HEIGHTxWIDTH@RATE` gives uint16 frames of drifting particles with noise, and waits for nobody: frames that come
# too fast are dropped, never queued. `"watch:run1/*.tif"`, `"pymmcore:scope.cfg"` or any iterable of arrays stand in
# the same place.

# %%
source, side = "sim:768x768@20", 192  # pixels of the network's input
levels = (1200.0, 3700.0)  # the camera's black and white

# %% [markdown]
# ## The network
# Yours would be `camfast.models.load("file.py:factory", "weights.safetensors")`. Two filters answer to particles of
# one size each; 1×1 convolutions let the stronger answer win; the mean over all places is the score. The layer to
# explain is `won`.

# %%


def blob(sigma: float, radius: int = 14) -> Tensor:
    """A filter that answers most to a particle of one width: a negative Laplacian of a Gaussian."""
    rows, columns = torch.meshgrid(*[torch.arange(-radius, radius + 1.0)] * 2, indexing="ij")
    squares = (rows**2 + columns**2) / (2 * sigma**2)
    filter_ = (1 - squares) * torch.exp(-squares) / (torch.pi * sigma**2)
    return filter_ - filter_.mean()


filters = nn.Conv2d(1, 2, 29, stride=2, padding=14, padding_mode="replicate")
rivals = nn.Conv2d(2, 2, 1, bias=False)
scores = nn.Linear(2, 2, bias=False)
assert filters.bias is not None
with torch.no_grad():
    filters.weight[:] = torch.stack([blob(1.5), blob(4.8)])[:, None]
    filters.bias[:] = -0.06  # where no particle is, nothing answers
    rivals.weight[:] = torch.tensor([[1.0, -0.8], [-0.8, 1.0]])[..., None, None]
    scores.weight[:] = 900 * torch.eye(2)
before = {"filters": filters, "answers": nn.ReLU(), "rivals": rivals, "won": nn.ReLU()}
behind = {"mean": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "scores": scores}
network = nn.Sequential(OrderedDict(**before, **behind))
labels = ["small", "large"]
explainer = camfast.Explainer(network.eval(), "won", "gradcam")
looks = Looks(explainer, Preprocess((side, side), "L"), labels, levels)

# %% [markdown]
# ## The session
# A function is called with each overlay, in the pipeline's thread: it may steer something, and should return soon.
# Its arrays are written to again once it has returned, so what is kept is copied.

# %%
brightest: list[tuple[str, int, tuple[int, int]]] = []
snapshots: dict[str, NDArray[np.uint8]] = {}


def decide(shown: Shown) -> None:
    """Note where the map is largest, in pixels: a stage could be moved there."""
    row, column = np.unravel_index(shown.grid.argmax(), shown.grid.shape)
    step = shown.frame.data.shape[0] // shown.grid.shape[0]
    kind = labels[shown.target]
    brightest.append((kind, shown.frame.number, (int(row) * step, int(column) * step)))
    snapshots[kind] = shown.rgb.copy()


recording = open_sink(f"zarr:{out / 'run.zarr'}?every=2&overwrite=1", {"model": "two filters"})
with Session(source, looks, [decide, recording]) as session:
    for target in (0, 1):
        session.change(target=target)
        session.wait(arguments.seconds)
        status = session.status()
        latency = ", ".join(f"{name} {value:.0f}" for name, value in status["latency_ms"].items() if value is not None)
        print(f"{labels[target]}: {status['fps']:.0f} overlays a second; ms from frame to overlay: {latency}")
    status = session.status()
print(f"{status['arrived']} frames, {status['shown']} shown, {status['dropped']} dropped")

# %% [markdown]
# ## What is left
# A snapshot of each class side by side, and a recording: frames as they came, maps on the layer's grid, scores,
# settings.

# %%
Image.fromarray(np.hstack([snapshots[kind] for kind in labels])).save(out / "snapshot.png")
part: Any = zarr.open_group(str(out / "run.zarr"), mode="r")["0000"]
count = part["frame"].shape[0]
settings = [json.loads(str(text))["target"] for text in part["settings"][:count]]
print(f"{count} recorded, {settings.count(0)} of class 0 and {settings.count(1)} of class 1")
for kind in labels:
    print(f"largest for {kind} at last:", next(spot for spot in reversed(brightest) if spot[0] == kind)[2])
print(f"look at {out / 'snapshot.png'}")
