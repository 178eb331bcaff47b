"""Train the U-Nets that segmentation.py explains, on simulated tomograms (3-D) or on slices of them (2-D).

Checkpoints and weights go to ``build/studies``, and a run that is started again goes on where it was. Examples:

    python -m studies.train_segmenters --dimensions 3
    python -m studies.train_segmenters --dimensions 2 --steps 3000
"""

import argparse
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from camfast.models import save_weights, unet
from studies.common.tomograms import LABELS, OF_EACH, SIDE, SNR, Tomograms, dice, tomograms, weights_path
from studies.train_subtomograms import TURNS

WIDTH = 8
DEPTH = 3
COUNT = 220
STEPS = {2: 3000, 3: 1200}
SLICES = 16
"""Slices of one tomogram that make a batch in two dimensions; in three a batch is one tomogram."""


def draw(found: Tomograms, dimensions: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """A batch and its classes: a tomogram with noise of its own, turned by 180° about a random axis or not at all."""
    generator = np.random.default_rng([seed, step])
    chosen = generator.choice(found.fit, 1)
    images, classes = found.images(chosen, draw=step), found.labels(chosen)
    turn = TURNS[generator.integers(4)]
    images, classes = images.flip([axis + 1 for axis in turn]), classes.flip(turn)
    if dimensions == 3:
        return images, classes
    planes = generator.choice(SIDE, SLICES, replace=False)
    return images[0, 0, planes, None], classes[0, planes]


def batches(found: Tomograms, dimensions: int, seed: int, first: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of the steps, the next one being simulated while one is used."""
    with ThreadPoolExecutor(1) as executor:
        ahead = [executor.submit(draw, found, dimensions, seed, step) for step in (first, first + 1)]
        for step in range(first, steps):
            yield ahead.pop(0).result()
            ahead.append(executor.submit(draw, found, dimensions, seed, step + 2))


def loss_of(scores: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy, and 1 − the soft Dice of each class but the background, which cross-entropy alone would favour."""
    axes = (0, *range(2, scores.ndim))
    probabilities = scores.float().softmax(1)
    true = nn.functional.one_hot(classes, scores.shape[1]).movedim(-1, 1)
    overlap = (2 * (probabilities * true).sum(axes) + 1) / (probabilities.sum(axes) + true.sum(axes) + 1)
    return nn.functional.cross_entropy(scores.float(), classes) + 1 - overlap[1:].mean()


def scored(network: nn.Module, found: Tomograms, indices: np.ndarray, dimensions: int) -> list[float]:
    """Dice of each class over the tomograms, in float32; slices are those of every plane."""
    predictions = []
    with torch.no_grad():
        for index in indices:
            images = found.images(np.array([index]))
            images = images if dimensions == 3 else images[0].movedim(1, 0)
            predictions.append(network(images).argmax(1).reshape(SIDE, SIDE, SIDE))
    return dice(torch.stack(predictions), found.labels(indices), len(LABELS)).tolist()


def train(arguments: argparse.Namespace, found: Tomograms) -> tuple[nn.Module, float]:
    """Fit a U-Net by Adam, the rate falling as a cosine; noise is drawn anew each step."""
    torch.manual_seed(arguments.seed)
    network = unet(arguments.dimensions, classes=len(LABELS), width=WIDTH, depth=DEPTH)
    layout = torch.channels_last if arguments.dimensions == 2 else torch.channels_last_3d
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), arguments.rate)
    checkpoint = weights_path(arguments.dimensions).with_suffix(f".{arguments.steps}.pt")
    first, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        first, spent = state["steps"], state["seconds"]
    every = max(1, arguments.steps // 12)
    for start, stop in pairwise([*range(first, arguments.steps, every), arguments.steps]):
        begun, total = time.monotonic(), 0.0
        steps = batches(found, arguments.dimensions, arguments.seed, start, stop)
        for step, (images, classes) in enumerate(steps, start):
            for group in optimizer.param_groups:
                group["lr"] = arguments.rate * 0.5 * (1 + math.cos(math.pi * step / arguments.steps))
            with torch.autocast("cpu", torch.bfloat16):
                scores = network(images.contiguous(memory_format=layout))
            loss = loss_of(scores, classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        spent += time.monotonic() - begun
        found_dice = ", ".join(
            f"{value:.3f}" for value in scored(network, found, found.validation, arguments.dimensions)
        )
        print(f"step {stop}: loss {total / (stop - start):.4f}, Dice {found_dice}, {spent:.0f} s in all", flush=True)
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({**state, "steps": stop, "seconds": spent}, checkpoint.with_suffix(".writing"))
        checkpoint.with_suffix(".writing").rename(checkpoint)
    return network.eval(), spent


def quick_network(dimensions: int, found: Tomograms) -> nn.Module:
    """A few steps of training, for a run that only has to show that everything works."""
    return train(argparse.Namespace(dimensions=dimensions, steps=2, rate=2e-3, seed=0), found)[0]


def main() -> None:
    """Train, test and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=int, choices=(2, 3), default=3)
    parser.add_argument("--count", type=int, default=COUNT, help="tomograms in all, of which 16 are for the test")
    parser.add_argument("--steps", type=int, help=f"default: {STEPS[2]} in 2-D, {STEPS[3]} in 3-D")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    arguments.steps = arguments.steps or STEPS[arguments.dimensions]
    torch.set_num_threads(arguments.threads)
    found = tomograms(arguments.count)
    network, seconds = train(arguments, found)
    tested = dict(zip(LABELS, scored(network, found, found.test, arguments.dimensions), strict=True))
    path = weights_path(arguments.dimensions)
    save_weights(
        path,
        network,
        architecture="unet",
        labels=list(LABELS),
        layer="bottleneck",
        voxel_angstrom=10.0,
        test_dice={name: round(value, 4) for name, value in tested.items()},
        training={"steps": arguments.steps, "seconds": round(seconds), "tomograms": len(found.fit), "snr": SNR,
                  "of_each_class": OF_EACH, "rate": arguments.rate, "seed": arguments.seed, "precision": "bfloat16"},
    )  # fmt: skip
    print(f"test Dice {tested}; wrote {path}")


if __name__ == "__main__":
    main()
