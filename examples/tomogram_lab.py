# %% [markdown]
# # A tomogram, from density to picks
#
# Simulates a small tomogram of eight kinds of particle, scans it with the network that comes with camfast, picks one
# kind and compares the picks with the truth. Runs as a script (`python examples/tomogram_lab.py --out lab`) and cell
# by cell in an editor that knows `# %%`. Needs `pip install 'camfast[scan,plot]'`. The guide behind it is
# `docs/guides/tomograms.md`.

# %%
"""Simulate a tomogram, scan it, pick one kind of particle, and compare with the truth."""

import argparse
import sys
from pathlib import Path

import camfast
from camfast.scan import Volume, write_volumes
from camfast.scan.picking.matching import match, pair

parser = argparse.ArgumentParser(description="Simulate a tomogram, scan it, pick, and compare with the truth.")
parser.add_argument("--out", type=Path, default=Path("tomogram_lab"), help="folder for what is written")
parser.add_argument("--label", default="barrel", help="the kind of particle to look for (default barrel)")
parser.add_argument("--seed", type=int, default=0, help="of the simulation (default 0)")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)  # a notebook has arguments of its own
out, label = arguments.out, arguments.label
out.mkdir(parents=True, exist_ok=True)

# %% [markdown]
# ## The tomogram
# Your own would be a file: `camfast.scan("tomo.mrc", …)`. This one has 42 particles that don't overlap, a missing
# wedge, a contrast transfer function and noise; particles are dark, voxels 10 Å wide.

# %%
made = camfast.simulate.tomogram((48, 128, 128), 42, seed=arguments.seed, snr=2.0)
size = (made.voxel_angstrom,) * 3
write_volumes(out / "tomogram.mrc", [made.data], Volume(made.data, size))
print(f"tomogram of {' × '.join(map(str, made.data.shape))} voxels with {len(made.particles)} particles")

# %% [markdown]
# ## The network
# Weights may say which layer to explain, which classes there are and at which voxel size it was trained. With a
# network of your own: `camfast.models.load("my_network.py:build", "weights.safetensors")`.

# %%
network = camfast.models.load("subtomogram_demo")
assert network.layer is not None
assert network.labels is not None
if label not in network.labels:
    raise SystemExit(f"--label is {label!r}, and the network knows {', '.join(network.labels)}")
target = network.labels.index(label)
explainer = camfast.Explainer(network.module, network.layer, method="respond")

# %% [markdown]
# ## The scan
# The window is the one of the training, the stride one cell of the layer. What stands beside the map: the windows'
# scores, picks for RELION 5 and copick, and a page to look at. A scan that is interrupted goes on when it is run
# again.

# %%
result = camfast.scan(
    out / "tomogram.mrc",
    explainer,
    window=32,
    stride=8,
    target=target,
    out=out / "cam.mrc",
    also=("scores", "picks", "report"),
    labels=network.labels,
    overwrite=True,
    progress=False,
)
picks = result.picks
assert picks is not None
print(f"{result.scores[..., 0].numel()} windows, {len(picks)} picks of {label}")

# %% [markdown]
# ## Picks and truth
# A pick counts when a particle of its kind is within 8 voxels, each particle once. The best ones come first.

# %%
truth = {name: [one.centre for one in made.particles if one.label == name] for name in made.labels}
counts = match(picks, {target: truth[label]}, radius=8.0)[target]
print(f"precision {counts.precision:.2f}, recall {counts.recall:.2f} ({counts.matched} of {counts.particles} found)")
right = pair(picks.position, truth[label], 8.0) >= 0
for number, (place, value) in enumerate(zip(picks.position, picks.value, strict=True)):
    where = ", ".join(f"{coordinate:5.1f}" for coordinate in place)
    print(f"  {where} (z, y, x): {value:.3f}{'' if right[number] else '  no ' + label}")

# %% [markdown]
# ## A picture
# Central slices through the best pick; the map is red where the network sees the particle and blue where it sees
# reasons against it. The file says how it was made: `camfast.read_provenance("lab/picks.png")`.

# %%
others = [centre for name, group in truth.items() if name != label for centre in group]
figure = camfast.plot.slices(
    made.data,
    result.cam,
    centre=[round(coordinate) for coordinate in (picks.position[0] if len(picks) else truth[label][0])],
    voxel_angstrom=size,
    markers=[
        camfast.plot.Markers(f"true {label}", truth[label], 11.0, "#00b4d8"),
        camfast.plot.Markers("other particles", others, 11.0, "#35c435", ":"),
        camfast.plot.Markers("picks", [tuple(place) for place in picks.position.tolist()], 4.0, "#ffd60a"),
    ],
)
camfast.plot.save(figure, out / "picks.png", provenance=camfast.read_provenance(out / "cam.mrc"))
print(f"look at {out / 'picks.png'} and {out / 'cam.report.html'}")
