"""Train CNN-1 or CNN-2 on windows of simulated tomograms, and write weights that `camfast scan` can use.

Every epoch simulates fresh tomograms of the built-in shapes, so nothing is seen twice, and cuts windows from them as a
scan would: with their neighbours, normalised by the mean and standard deviation of their tomogram. A window belongs to
a shape when a particle of it is near the window's centre, and to "nothing" when no particle is. Example:

    python examples/train_subtomograms.py --out subtomograms.safetensors
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from camfast.models import cnn1, cnn2, save_weights
from camfast.simulate import SHAPES, Tomogram, tomogram

LABELS = (*SHAPES, "nothing")
NOTHING = len(SHAPES)
ARCHITECTURES = {"cnn1": cnn1, "cnn2": cnn2}
TRAINING, TEST = 1, 2  # not 0: numpy takes the seeds 0 and [0, 0, 0, 0] for the same
RATES = {"sgd": 0.01, "adam": 0.002}
RECORDED = (
    *("snr", "size", "particles", "jitter", "clearance", "repeats", "epochs", "tomograms", "test_tomograms"),
    *("batch", "optimizer", "rate", "penalty", "seed"),
)
# The turns by 180° about z, y and x keep the wedge and the handedness: each flips two axes.
TURNS = ((), (1, 2), (0, 2), (0, 1))


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="weights to write, .safetensors")
    add("--architecture", choices=ARCHITECTURES, default="cnn2")
    add("--width", type=int, default=16, help="channels of the first block")
    add("--hidden", type=int, default=64, help="length of the hidden dense layers")
    add("--side", type=int, default=32, help="edge of the window in voxels")
    add("--snr", type=float, default=2.0, help="nominal signal-to-noise ratio")
    add("--size", type=int, nargs=3, default=(64, 192, 192), metavar=("D", "H", "W"), help="tomogram in voxels")
    add("--particles", type=int, default=112, help="particles in a tomogram")
    add("--jitter", type=int, default=5, help="farthest a particle of a window is from its centre, on each axis")
    add("--clearance", type=int, default=8, help="nearest a particle of a window of nothing is, on one axis at least")
    add("--repeats", type=int, default=4, help="windows around each particle")
    add("--epochs", type=int, default=32)
    add("--tomograms", type=int, default=8, help="fresh tomograms an epoch")
    add("--test-tomograms", type=int, default=8)
    add("--batch", type=int, default=32)
    add("--optimizer", choices=RATES, default="adam", help="sgd: momentum 0.9, Nesterov")
    add("--rate", type=float, help="first learning rate, falling as a cosine (default: 0.01 for sgd, 0.002 for adam)")
    add("--penalty", type=float, default=0.05, help="weight of the squared scores in the loss")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=1)
    add("--checkpoint", type=Path, help="file to write after each epoch, and to go on from where it exists")
    add("--quick", action="store_true", help="seconds instead of 20 minutes, to see that everything runs")
    arguments = parser.parse_args()
    arguments.rate = arguments.rate or RATES[arguments.optimizer]
    if arguments.quick:
        arguments.epochs, arguments.tomograms, arguments.test_tomograms = 2, 1, 1
        arguments.size, arguments.particles = (48, 96, 96), 16
    return arguments


def windows(
    data: Tomogram, generator: np.random.Generator, arguments: argparse.Namespace
) -> Iterator[tuple[NDArray[np.float32], int, NDArray[np.bool_]]]:
    """Cut windows around each particle that a window can reach, and one of nothing for four of them.

    With each window come its class and which scores it judges: a particle in the outskirts of a window says neither
    yes nor no to its class, so that overlapping windows of a scan do not contradict each other.
    """
    side = arguments.side
    volume = (data.data - data.data.mean(dtype=np.float64)) / data.data.std(dtype=np.float64)
    last = np.asarray(volume.shape) - side
    starts = np.asarray([particle.centre for particle in data.particles]) - (side - 1) / 2
    classes = np.asarray([particle.class_index for particle in data.particles])

    def cut(start: NDArray[np.int64], label: int) -> tuple[NDArray[np.float32], int, NDArray[np.bool_]]:
        window = volume[tuple(slice(s, s + side) for s in start)]
        judged = np.ones(len(LABELS), bool)
        judged[classes[np.abs(starts - start).max(axis=1) < side / 2]] = False
        judged[label] = True
        return np.flip(window, TURNS[generator.integers(4)]).astype(np.float32), label, judged

    for label, start in zip(classes.tolist(), starts, strict=True):
        low = np.maximum(np.ceil(start - arguments.jitter), 0).astype(int)
        high = np.minimum(np.floor(start + arguments.jitter), last).astype(int)
        for _ in range(arguments.repeats if (low <= high).all() else 0):
            yield cut(generator.integers(low, high, endpoint=True), label)
    for _ in range(arguments.repeats * len(classes) // 4):
        start = generator.integers(0, last, endpoint=True)
        if (np.abs(starts - start).max(axis=1) > arguments.clearance).all():
            yield cut(start, NOTHING)


def simulate(arguments: argparse.Namespace, stream: int, epoch: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Simulate tomograms and cut them: windows (N, 1, *S) in random order, classes (N,), judged scores (N, C)."""
    cut: list[tuple[NDArray[np.float32], int, NDArray[np.bool_]]] = []
    for index in range(count):
        generator = np.random.default_rng([arguments.seed, stream, epoch, index])
        data = tomogram(tuple(arguments.size), arguments.particles, seed=generator, snr=arguments.snr)
        cut += windows(data, generator, arguments)
    order = np.random.default_rng([arguments.seed, stream, epoch]).permutation(len(cut))
    inputs, classes, judged = zip(*(cut[index] for index in order), strict=True)
    return torch.from_numpy(np.stack(inputs))[:, None], torch.tensor(classes), torch.from_numpy(np.stack(judged))


def one_against_rest(scores: Tensor, target: Tensor, judged: Tensor, penalty: float) -> Tensor:
    """Logistic loss of each class against all others plus penalty · score², over the judged scores, a sample's mean.

    Softmax fixes differences of scores only. A map explains one score, so each score alone has to say yes or no: above
    0 for its class, below 0 for every other. The penalty keeps a plain no from growing far larger than a yes.
    """
    wanted = nn.functional.one_hot(target, scores.shape[1]).to(scores.dtype)
    losses = nn.functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
    return ((losses + penalty * scores**2) * judged).sum() / len(scores)


def train(module: nn.Module, arguments: argparse.Namespace) -> None:
    """Fit the network on fresh tomograms, going on from a checkpoint where there is one."""
    if arguments.optimizer == "sgd":
        optimizer = torch.optim.SGD(module.parameters(), arguments.rate, momentum=0.9, nesterov=True)
    else:
        optimizer = torch.optim.Adam(module.parameters(), arguments.rate)
    first = 0
    if arguments.checkpoint and arguments.checkpoint.exists():
        state = torch.load(arguments.checkpoint, weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epochs"]
    progress = tqdm(range(first, arguments.epochs), initial=first, total=arguments.epochs, unit="epoch")
    for epoch in progress:
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * 0.5 * (1 + math.cos(math.pi * epoch / arguments.epochs))
        simulated = simulate(arguments, TRAINING, epoch, arguments.tomograms)
        count, total, correct = len(simulated[0]), 0.0, 0
        for batch, target, judged in zip(*(part.split(arguments.batch) for part in simulated), strict=True):
            scores = module(batch.contiguous(memory_format=torch.channels_last_3d))
            loss = one_against_rest(scores, target, judged, arguments.penalty)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(target)
            correct += int((scores.argmax(dim=1) == target).sum())
        progress.set_postfix(loss=f"{total / count:.3f}", accuracy=f"{correct / count:.3f}")
        if arguments.checkpoint:
            arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            state = {"module": module.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epoch + 1}
            torch.save(state, arguments.checkpoint)


def test(module: nn.Module, arguments: argparse.Namespace) -> tuple[float, dict[str, float], int]:
    """Give the share of windows classified correctly, overall and by class, on tomograms never trained on."""
    inputs, classes, _ = simulate(arguments, TEST, 0, arguments.test_tomograms)
    with torch.no_grad():
        predicted = torch.cat([module(batch).argmax(dim=1) for batch in inputs.split(arguments.batch)])
    correct = (predicted == classes).double()
    by_class = {LABELS[index]: float(correct[classes == index].mean()) for index in classes.unique().tolist()}
    return float(correct.mean()), by_class, len(inputs)


def main() -> None:
    """Train, test and write."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    shape = {"classes": len(LABELS), "width": arguments.width, "hidden": arguments.hidden, "side": arguments.side}
    module = ARCHITECTURES[arguments.architecture](**shape).to(memory_format=torch.channels_last_3d)
    train(module.train(), arguments)
    accuracy, by_class, count = test(module.eval(), arguments)
    print(f"test accuracy {accuracy:.4f} on {count} windows of {arguments.test_tomograms} tomograms")
    for label, share in by_class.items():
        print(f"  {label:10s} {share:.4f}")
    save_weights(
        arguments.out,
        module,
        architecture=arguments.architecture,
        arguments=shape,
        labels=list(LABELS),
        layer="maxpool2",
        voxel_angstrom=10.0,
        window=[arguments.side] * 3,
        normalization={"kind": "tomogram", "mean": 0.0, "std": 1.0},
        accuracy=round(accuracy, 4),
        accuracy_by_class={label: round(share, 4) for label, share in by_class.items()},
        test_windows=count,
        training={name: getattr(arguments, name) for name in RECORDED},
    )
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
