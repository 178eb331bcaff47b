"""Train the classifiers of subtomograms that the studies explain.

Checkpoints and weights go to ``build/studies``, and a run that is started again goes on where it was. Examples:

    python -m studies.train_subtomograms --snr inf
    python -m studies.train_subtomograms --snr 0.1 --epochs 10
    python -m studies.train_subtomograms --network shallow --per-class 250
"""

import argparse
import math
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from camfast.models import Loaded, cnn1, cnn2, read_weights, save_weights
from studies.common.paths import WORK
from studies.common.subtomograms import SIDE, Pool, Split, batches, pool

PER_CLASS = 1000
NETWORKS = ("cnn1", "cnn2", "shallow")
# the turns by 180° about z, y and x keep the missing wedge and the handedness: each flips two axes
TURNS = ((), (2, 3), (1, 3), (1, 2))


def shallow(classes: int) -> nn.Sequential:
    """One convolution in front of one dense layer, behind the average-pool of CNN-2."""
    network = cnn2(classes)
    first = {name: layer for name, layer in network.named_children() if name in ("avgpool", "conv1", "relu1")}
    layers = {**first, "maxpool1": nn.MaxPool3d(4), "flatten": nn.Flatten(), "fc1": nn.Linear(32 * 5**3, classes)}
    return nn.Sequential(OrderedDict(layers))


def build(network: str, classes: int) -> nn.Sequential:
    """A network without training."""
    return {"cnn1": cnn1, "cnn2": cnn2, "shallow": shallow}[network](classes)


def weights_path(
    network: str, snr: float, *, per_class: int = PER_CLASS, augmented: bool = False, seed: int = 0
) -> Path:
    """Where the trained weights are."""
    data = "" if per_class == PER_CLASS else f"_of{per_class}"
    return WORK / f"{network}_snr{snr:g}{data}{'_augmented' if augmented else ''}_seed{seed}.safetensors"


def trained(network: str, snr: float, **which: Any) -> Loaded:
    """Open trained weights.

    Raises
    ------
    SystemExit
        If they aren't there; the message gives the command that trains them.
    """
    path = weights_path(network, snr, **which)
    if not path.exists():
        options = f"--network {network} --snr {snr:g}" + (f" --per-class {which['per_class']}" * ("per_class" in which))
        options += " --augment" * bool(which.get("augmented")) + f" --seed {which['seed']}" * ("seed" in which)
        raise SystemExit(f"{path} isn't there: python -m studies.train_subtomograms {options}")
    weights = read_weights(path)
    module = build(network, len(weights.metadata["labels"]))
    module.load_state_dict(weights.state)
    return Loaded(module.eval(), labels=tuple(weights.metadata["labels"]), metadata=weights.metadata)


def output_path(arguments: argparse.Namespace) -> Path:
    """Where the weights of a command line go."""
    return weights_path(
        arguments.network,
        arguments.snr,
        per_class=arguments.per_class,
        augmented=arguments.augment,
        seed=arguments.seed,
    )


def augment(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Turn each image by 180° about a random axis or not at all, and shift it by up to two voxels."""
    turned = [image.flip(TURNS[generator.integers(4)]) for image in images]
    return torch.stack([image.roll(generator.integers(-2, 3, 3).tolist(), (1, 2, 3)) for image in turned])


def snr_of(epoch: int, epochs: int, snr: float) -> float:
    """Signal to noise of an epoch: falling from 10 to what is asked for in the first half of the training.

    Noise of full strength from the start leaves the network near chance after the first epoch.
    """
    return float(snr * max(10 / snr, 1) ** max(0.0, 1 - 2 * epoch / epochs))


def accuracy(network: nn.Module, found: Pool, split: Split, snr: float) -> float:
    """Part of a split that is classified correctly, in float32."""
    correct = count = 0
    with torch.no_grad():
        for images, classes in batches(found, found.indices(split), 64, snr):
            correct += int((network(images).argmax(1) == classes).sum())
            count += len(classes)
    return correct / count


def train(arguments: argparse.Namespace, found: Pool, *, keep: bool = True) -> tuple[nn.Module, dict[str, object]]:
    """Fit a network by SGD (momentum 0.9, Nesterov), the rate falling as a cosine; noise is drawn anew each epoch.

    The noise grows to its level in the first half of the epochs, see `snr_of`. With ``keep`` there is a checkpoint
    after each epoch, and training goes on from one that exists.
    """
    torch.manual_seed(arguments.seed)
    network = build(arguments.network, len(found.labels)).to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.SGD(network.parameters(), arguments.rate, momentum=0.9, nesterov=True)
    checkpoint = output_path(arguments).with_suffix(f".{arguments.epochs}.pt") if keep else None
    first, spent = 0, 0.0
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        first, spent = state["epochs"], state["seconds"]
    fit = found.indices("fit")
    for epoch in range(first, arguments.epochs):
        begun = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * 0.5 * (1 + math.cos(math.pi * epoch / arguments.epochs))
        generator = np.random.default_rng([arguments.seed, epoch])
        total, correct = 0.0, 0
        snr = snr_of(epoch, arguments.epochs, arguments.snr)
        for images, classes in batches(found, generator.permutation(fit), arguments.batch, snr, epoch):
            if arguments.augment:
                images = augment(images, generator)
            with torch.autocast("cpu", torch.bfloat16):
                scores = network(images.contiguous(memory_format=torch.channels_last_3d))
                loss = nn.functional.cross_entropy(scores, classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(classes)
            correct += int((scores.argmax(1) == classes).sum())
        spent += time.monotonic() - begun
        validated = accuracy(network, found, "validation", arguments.snr) if epoch % 4 == 3 else math.nan
        fitted = f"loss {total / len(fit):.4f}, fitted {correct / len(fit):.4f}, validation {validated:.4f}"
        print(
            f"epoch {epoch + 1}/{arguments.epochs}, SNR {snr:.3g}: {fitted}, {spent:.0f} s in all",
            flush=True,
        )
        if checkpoint:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**state, "epochs": epoch + 1, "seconds": spent}, checkpoint.with_suffix(".writing"))
            checkpoint.with_suffix(".writing").rename(checkpoint)
    return network.eval(), {"seconds": round(spent), "fitted_images": len(fit), "epochs": arguments.epochs}


def quick_network(found: Pool, snr: float) -> Loaded:
    """A CNN-2 trained for seconds, for the short forms of the studies."""
    options = {"network": "cnn2", "snr": snr, "augment": False, "epochs": 2, "batch": 32, "rate": 0.01, "seed": 0}
    network, facts = train(argparse.Namespace(**options), found, keep=False)
    tested = accuracy(network, found, "test", snr)
    return Loaded(network, labels=found.labels, metadata={"accuracy": tested, "training": facts})


def main() -> None:
    """Train, test and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="cnn2")
    parser.add_argument("--snr", type=float, default=math.inf, help="nominal ratio of signal to noise; inf for none")
    parser.add_argument("--per-class", type=int, default=PER_CLASS, help="subtomograms of each class, for all splits")
    parser.add_argument("--augment", action="store_true", help="turns that keep the missing wedge, and shifts")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    found = pool(arguments.per_class)
    network, facts = train(arguments, found)
    tested = accuracy(network, found, "test", arguments.snr)
    path = output_path(arguments)
    save_weights(
        path,
        network,
        architecture=arguments.network,
        arguments={"classes": len(found.labels)},
        labels=list(found.labels),
        layer="maxpool2" if arguments.network != "shallow" else "maxpool1",
        voxel_angstrom=10.0,
        window=[SIDE] * 3,
        accuracy=round(tested, 4),
        training={**facts, "per_class": arguments.per_class, "snr": str(arguments.snr), "augment": arguments.augment,
                  "batch": arguments.batch, "rate": arguments.rate, "seed": arguments.seed, "precision": "bfloat16"},
    )  # fmt: skip
    print(f"test accuracy {tested:.4f}; wrote {path}")


if __name__ == "__main__":
    main()
