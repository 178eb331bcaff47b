# %% [markdown]
# # camfast in a program
#
# A small network learns to tell three marks apart. In its training images one of them always comes with a bright
# corner, as a scanner's label might. Maps show that the network uses the corner, and a loss that holds a map teaches
# it not to. On the way: one call, an explainer, one's own step, a frozen form, the kernels. Runs as a script (`python
# examples/library_caller.py --out caller`) and cell by cell in an editor that knows `# %%`. Needs `pip install
# 'camfast[plot]'`. The guide behind it is `docs/guides/library.md`.

# %%
"""Train a small network on data with a flaw, find the flaw by maps, and train it away by a map in the loss."""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import camfast

parser = argparse.ArgumentParser(description="Find a flaw of a training set by maps, and train it away.")
parser.add_argument("--out", type=Path, default=Path("library_caller"), help="folder for what is written")
arguments = parser.parse_args([] if "ipykernel" in sys.modules else None)  # a notebook has arguments of its own
out = arguments.out
out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)

# %% [markdown]
# ## Images with a flaw
# A cross, a ring or a bar at a random place. In training, images of the bar have a bright corner.

# %%
SIDE, CLASSES, FLAWED = 40, ("cross", "ring", "bar"), 2
corner = torch.zeros(SIDE, SIDE, dtype=torch.bool)
corner[:5, :5] = True


def draw(count: int, flaw: str) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 40, 40) and classes; the corner is bright for the bar's images, for ``"all"`` or for ``"none"``."""
    classes = torch.randint(len(CLASSES), (count,))
    y, x = (torch.arange(SIDE)[None, :] - torch.randint(18, SIDE - 6, (count, 1)) for _ in range(2))
    y, x = y[:, :, None].expand(-1, SIDE, SIDE), x[:, None, :].expand(-1, SIDE, SIDE)
    distance = (y**2 + x**2).sqrt()
    shapes = torch.stack(
        [
            (torch.minimum(y.abs(), x.abs()) < 1) & (torch.maximum(y.abs(), x.abs()) < 5),
            (distance - 4).abs() < 1,
            (y.abs() < 2) & (x.abs() < 5),
        ]
    )
    images = shapes[classes, torch.arange(count)].float() + 0.5 * torch.randn(count, SIDE, SIDE)
    flawed = {"bar": classes == FLAWED, "all": classes >= 0, "none": classes < 0}[flaw]
    images[flawed[:, None, None] & corner] += 2.0
    return images[:, None], classes


def network() -> nn.Sequential:
    """Three convolutions and a linear layer; the layer to explain is ``"6"``, a grid of 20 × 20 cells."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 5, padding=2), nn.ReLU(),
        nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 3),
    )  # fmt: skip


LAYER = "6"


def train(model: nn.Sequential, *, weight: float) -> None:
    """Fit the model; with a weight, no class's map may lie on the cells that see the corner."""
    trunk, head = camfast.split(model, LAYER, torch.zeros(2, 1, SIDE, SIDE))
    near = F.max_pool2d(corner[None, None].float(), 5, stride=1, padding=2)  # as far as the first convolution sees
    cells = F.max_pool2d(F.max_pool2d(near, 2), 7, stride=1, padding=3)[0, 0] > 0  # and the other two
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(200):
        images, classes = draw(64, "bar")
        features = trunk(images)
        loss = F.cross_entropy(head(features), classes)
        if weight:
            heat = camfast.head_map(head, features, target="all", method="hirescam", relu=False)
            loss = loss + weight * heat[..., cells].abs().sum(-1).mean()  # a map in the loss, differentiated again
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()


def accuracy(model: nn.Module, flaw: str) -> float:
    """Share of fresh images that are classified rightly."""
    images, classes = draw(600, flaw)
    with torch.no_grad():
        return float((model(images).argmax(1) == classes).double().mean())


# %% [markdown]
# ## What the network uses
# Accuracy on data like the training's says nothing of the corner; without it, or with it for every class, the first
# network fails. Its map tells as much before anybody has such data: `share_inside` is the part of it in the corner.

# %%
models = {"as it comes": (network(), 0.0), "map in the loss": (network(), 1.0)}
images, classes = draw(60, "bar")
bars = images[classes == FLAWED]
maps = {}
print("two trainings of some seconds each; then the share of images classified rightly, by where the corner is bright")
for name, (model, weight) in models.items():
    train(model, weight=weight)
    maps[name] = camfast.cam(model, bars, LAYER, target=FLAWED, method="hirescam")  # one call
    share = camfast.metrics.share_inside(maps[name], corner).share.nanmean()
    where = {"bar": "with bars", "none": "nowhere", "all": "everywhere"}
    rates = ", ".join(f"{words} {accuracy(model, flaw):.2f}" for flaw, words in where.items())
    print(f"{name}: {rates}; {share:.0%} of the bar's map lies in the corner")

# %% [markdown]
# ## In a step of one's own, frozen, and by the kernels
# The same map by other ways in: `capture` in a forward pass that runs anyway, `freeze` for one shape again and again,
# and `ops.fused_cam` for whoever holds activations and gradients already.

# %%
model = models["as it comes"][0]
explainer = camfast.Explainer(model, LAYER, "hirescam")
with camfast.capture(model, LAYER) as captured:
    scores = model(bars)
own = captured.map(scores[:, FLAWED], method="hirescam")
frozen = explainer.freeze(bars)(bars, target=FLAWED).maps
A = captured.activations
(G,) = torch.autograd.grad(scores[:, FLAWED].sum(), A)
written = torch.empty(len(bars), SIDE, SIDE)
camfast.ops.fused_cam(A.detach(), G, "hirescam", size=(SIDE, SIDE), out=written)
for way, found in {"capture": own, "freeze": frozen, "ops": written}.items():
    print(f"{way}: differs by {float((found - maps['as it comes']).abs().max()):.1e} from camfast.cam")

# %% [markdown]
# ## A picture, and a file that says how it came about

# %%
rows = [[maps[name][sample] for name in models] for sample in range(3)]
figure = camfast.plot.grid(
    [bars[sample, 0] for sample in range(3)], rows, rows=[f"bar {sample}" for sample in range(3)], columns=list(models)
)
camfast.plot.save(figure, out / "maps.png", provenance=camfast.provenance(explainer, FLAWED))
camfast.save_maps(out / "maps.safetensors", explainer(bars, FLAWED), explainer)
print(f"look at {out / 'maps.png'}; layer {camfast.read_provenance(out / 'maps.safetensors')['layer']}")
